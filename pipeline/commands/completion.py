"""`satpipe completion`: the script that completes commands in a shell."""

from __future__ import annotations

import rich_click as click

from ._common import say

SHELLS = ("bash", "zsh", "fish")
PROGRAM, VARIABLE = "satpipe", "_SATPIPE_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that completes commands, options, stages, runs and configuration keys.

    For bash: satpipe completion bash >> ~/.bashrc; for zsh the same with .zshrc; for fish:
    satpipe completion fish > ~/.config/fish/completions/satpipe.fish. Then start a new shell.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    say(kind(context.find_root().command, {}, PROGRAM, VARIABLE).source())
