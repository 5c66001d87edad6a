"""Groups of options that several commands share. A command's function receives a group as one argument."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints


def grouped(
    function: Callable[..., None], name: str, options: dict[str, tuple[Any, Any]], make: Callable[..., object]
) -> Callable[..., None]:
    """Replace the parameter `name` of a command's function with a group of options.

    options: annotation and default by name. make: builds the argument from the values, and may raise for bad ones.
    """

    @functools.wraps(function)
    def command(**given: Any) -> None:
        made = make(**{option: given.pop(option) for option in options})
        function(**{name: made}, **given)

    own = [each for each in inspect.signature(function).parameters.values() if each.name != name]
    hints = get_type_hints(function, include_extras=True)
    parameters = [each.replace(annotation=hints[each.name]) for each in own]
    more = [
        inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for option, (annotation, default) in options.items()
    ]
    command.__dict__["__signature__"] = inspect.Signature([*parameters, *more])
    command.__annotations__ = {each.name: each.annotation for each in (*parameters, *more)}
    del command.__dict__["__wrapped__"]
    return command
