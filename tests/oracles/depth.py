"""Monodepth2's loss and the seven metrics, pixel by pixel."""

import math

C1, C2 = 1e-4, 9e-4


def mirrored(place, size):
    place = -place if place < 0 else place
    return 2 * (size - 1) - place if place >= size else place


def window(image, row, column):
    height, width = len(image), len(image[0])
    return [
        image[mirrored(row + i, height)][mirrored(column + j, width)]
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
    ]


def error_at(first, second, row, column):
    """Photometric error of one pixel; images are lists [channel][row][column]."""
    total = 0.0
    for one, two in zip(first, second, strict=True):
        a, b = window(one, row, column), window(two, row, column)
        mean_a, mean_b = sum(a) / 9, sum(b) / 9
        var_a = sum(x * x for x in a) / 9 - mean_a**2
        var_b = sum(x * x for x in b) / 9 - mean_b**2
        both = sum(x * y for x, y in zip(a, b, strict=True)) / 9 - mean_a * mean_b
        ssim = (2 * mean_a * mean_b + C1) * (2 * both + C2)
        ssim /= (mean_a**2 + mean_b**2 + C1) * (var_a + var_b + C2)
        unlike = min(max((1 - ssim) / 2, 0), 1)
        total += 0.85 * unlike + 0.15 * abs(one[row][column] - two[row][column])
    return total / len(first)


def sampled(plane, x, y):
    """Bilinear, the nearest border pixel beyond the border."""
    height, width = len(plane), len(plane[0])
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = min(int(x), width - 2), min(int(y), height - 2)
    dx, dy = x - left, y - top
    return (
        plane[top][left] * (1 - dx) * (1 - dy)
        + plane[top][left + 1] * dx * (1 - dy)
        + plane[top + 1][left] * (1 - dx) * dy
        + plane[top + 1][left + 1] * dx * dy
    )


def enlarged_at(plane, row, column, factor):
    """Bilinear between the middles of the coarse pixels."""
    return sampled(plane, (column + 0.5) / factor - 0.5, (row + 0.5) / factor - 0.5)


def warped(neighbour, depth, motion, camera):
    """Look each pixel of the middle frame up in the neighbour."""
    fx, fy, cx, cy = camera[0][0], camera[1][1], camera[0][2], camera[1][2]
    height, width = len(depth), len(depth[0])
    out = [[[0.0] * width for _ in range(height)] for _ in neighbour]
    for row in range(height):
        for column in range(width):
            z = depth[row][column]
            point = ((column - cx) / fx * z, (row - cy) / fy * z, z)
            x, y, w = (
                sum(motion[i][j] * point[j] for j in range(3)) + motion[i][3] for i in range(3)
            )
            for plane, target in zip(neighbour, out, strict=True):
                target[row][column] = sampled(plane, fx * x / w + cx, fy * y / w + cy)
    return out


def loss(disparities, before, middle, after, motions, camera, noise):
    """(photometric, smoothness, share of moving pixels) of one sample, means over the scales."""
    height, width = len(middle[0]), len(middle[0][0])
    photometric, smooth, moving = [], [], []
    for scale, disparity in enumerate(disparities):
        factor = 2**scale
        depth = [
            [
                1 / (0.01 + (10 - 0.01) * enlarged_at(disparity, row, column, factor))
                for column in range(width)
            ]
            for row in range(height)
        ]
        views = [
            warped(frame, depth, motion, camera)
            for frame, motion in zip((before, after), motions, strict=True)
        ]
        total, better = 0.0, 0
        for row in range(height):
            for column in range(width):
                still = [
                    error_at(frame, middle, row, column) + noise[scale][place][row][column] * 1e-5
                    for place, frame in enumerate((before, after))
                ]
                moved = [error_at(view, middle, row, column) for view in views]
                total += min(*still, *moved)
                better += min(moved) < min(still)
        photometric.append(total / (height * width))
        moving.append(better / (height * width))
        smooth.append(1e-3 / factor * smoothness(disparity, reduced(middle, factor)))
    count = len(disparities)
    return sum(photometric) / count, sum(smooth) / count, sum(moving) / count


def reduced(image, factor):
    return [
        [
            [
                sum(
                    plane[row * factor + i][column * factor + j]
                    for i in range(factor)
                    for j in range(factor)
                )
                / factor**2
                for column in range(len(plane[0]) // factor)
            ]
            for row in range(len(plane) // factor)
        ]
        for plane in image
    ]


def smoothness(disparity, image):
    height, width = len(disparity), len(disparity[0])
    mean = sum(map(sum, disparity)) / (height * width)
    total = 0.0
    for down, across in ((0, 1), (1, 0)):
        values = []
        for row in range(height - down):
            for column in range(width - across):
                edge = sum(
                    abs(plane[row][column] - plane[row + down][column + across]) for plane in image
                ) / len(image)
                step = disparity[row][column] - disparity[row + down][column + across]
                values.append(abs(step) / (mean + 1e-7) * math.exp(-edge))
        total += sum(values) / len(values)
    return total


def seven(predicted, truth, crop):
    """Abs Rel, Sq Rel, RMSE, RMSE log and three deltas; crop is (top, bottom, left, right)."""
    top, bottom, left, right = crop
    pairs = [
        (predicted[row][column], truth[row][column])
        for row in range(top, bottom)
        for column in range(left, right)
        if 1e-3 < truth[row][column] < 80
    ]
    ratio = median([t for _, t in pairs]) / median([p for p, _ in pairs])
    pairs = [(min(max(p * ratio, 1e-3), 80), t) for p, t in pairs]
    n = len(pairs)
    worse = [max(p / t, t / p) for p, t in pairs]
    return {
        "abs_rel": sum(abs(p - t) / t for p, t in pairs) / n,
        "sq_rel": sum((p - t) ** 2 / t for p, t in pairs) / n,
        "rmse": math.sqrt(sum((p - t) ** 2 for p, t in pairs) / n),
        "rmse_log": math.sqrt(sum((math.log(p) - math.log(t)) ** 2 for p, t in pairs) / n),
        "delta1": sum(w < 1.25 for w in worse) / n,
        "delta2": sum(w < 1.25**2 for w in worse) / n,
        "delta3": sum(w < 1.25**3 for w in worse) / n,
    }


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    if len(values) % 2:
        return values[middle]
    return (values[middle - 1] + values[middle]) / 2
