"""YAML as people write settings: every key once, and aliases that stay small.

PyYAML keeps the last of two equal keys, and a few lines of aliases can stand for billions of
values, or for one that contains itself.
"""

import yaml

from ..i18n.messages import tr

MAX_CHARACTERS = 1 << 18
MAX_VALUES = 10_000  # once all aliases are filled in


def parse_yaml(text: str) -> object:
    """The plain values in a YAML text.

    Raises:
        ValueError: it is not YAML, or not such; its text says why, in one line.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(tr("longer than {n} characters", n=MAX_CHARACTERS))
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count_values(node, {})
        return loader.construct_document(node)
    # Dates that do not exist and numbers of too many digits are ValueErrors; merging mappings that
    # are none, TypeErrors.
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError(tr("nested too deeply")) from None


def _count_values(node: yaml.Node, counts: dict[int, int | None]) -> int:
    """How many values a node stands for; checks its keys on the way.

    Args:
        counts: of the nodes seen so far; None: of one that contains this one.
    """
    if id(node) in counts:
        count = counts[id(node)]
        if count is None:
            raise ValueError(tr("an alias stands for what contains it"))
        return count
    counts[id(node)] = None
    children = []
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
        children = [child for pair in node.value for child in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    count = 1
    for child in children:
        count += _count_values(child, counts)
        if count > MAX_VALUES:
            raise ValueError(tr("more than {n} values, with those of aliases", n=MAX_VALUES))
    counts[id(node)] = count
    return count


def _check_keys(mapping: yaml.MappingNode) -> None:
    keys = set()
    for key, _ in mapping.value:
        name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
        if name in keys:
            line = key.start_mark.line + 1
            raise ValueError(tr("{key} is set twice, again in line {line}",
                                key=key.value, line=line))  # fmt: skip
        if name:
            keys.add(name)
