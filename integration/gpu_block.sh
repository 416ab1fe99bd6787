#!/usr/bin/env bash
# The block of experiment=gpu_block_* on one GPU: saliency once, then three rows on SimCLR and on MoCo v2.
#
#     integration/gpu_block.sh DATA OUT [EPOCHS]
#
# DATA is CIFAR-10's folder, OUT gets maps, runs and reports. 20 epochs are meant to fit into ten minutes on
# an H200, which is a guess: it has not been run on one. On a CPU all its rows ran through, by two steps
# each (9 minutes of processor time), with more settings behind EPOCHS:
#
#     integration/gpu_block.sh data/cifar10 /tmp/block 1 +trainer.limit_train_batches=2 loader.batch_size=32 \
#         data.limit_train=320 data.limit_val=320 loader.workers=0
set -euo pipefail
data=$1 out=$2 epochs=${3:-20}
shift $(($# < 3 ? $# : 3))
maps=() # settings of the data alone fit the cache
for setting in "$@"; do case $setting in data.* | loader.workers=*) maps+=("$setting") ;; esac; done
salmask cache "$out/maps" data=cifar10 data.root="$data" localizer=efficientnet_lite0 --grid 6 --size 192 \
    "${maps[@]}"
for method in simclr mocov2; do
    salmask compare experiment=gpu_block_$method data.root="$data" localizer.folder="$out/maps" \
        out="$out/runs" trainer.max_epochs="$epochs" "$@"
done
