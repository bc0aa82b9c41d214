"""The examples in the rules, which say what each kind of operation does to labels."""

import doctest

from gst_tutorial.graph import labels, rules


def test_the_example_of_every_rule_is_right():
    examined = doctest.DocTestFinder().find(rules)
    with_examples = {test.name.rpartition(".")[2] for test in examined if test.examples}
    used = {rule.__name__ for rule in (*rules.RULES.values(), *rules.RULES_BY_PART.values())}
    assert used <= with_examples
    assert doctest.testmod(rules).failed == doctest.testmod(labels).failed == 0
