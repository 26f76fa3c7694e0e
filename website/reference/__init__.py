"""The reference: a page a kind of names that others rely on, made from the code that has them."""

from collections.abc import Callable

from website.reference import commands, component, errors, messages, settings, stack, storage

REFERENCE: dict[str, Callable[[], str]] = {
    "commands": commands.page,
    "settings": settings.page,
    "component": component.page,
    "stack": stack.page,
    "messages": messages.page,
    "storage": storage.page,
    "errors": errors.page,
}
"""Its pages, by name."""
