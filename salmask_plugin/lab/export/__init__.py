"""A backbone in other libraries' formats, with a model card."""
