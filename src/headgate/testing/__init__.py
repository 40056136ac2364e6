"""For tests of code that uses Headgate or extends it: a conformance suite for providers, the simulator as a fixture, a clock, samples.

Nothing in the product imports this package. Only `headgate.testing.pytest_plugin` and `headgate.testing.parametrize` need pytest::

    pytest_plugins = ["headgate.testing.pytest_plugin"]
"""
