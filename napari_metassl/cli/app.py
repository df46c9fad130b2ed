"""The commands put together, and what becomes of an error: one sentence and an exit code."""

import errno
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from napari_metassl.cli.console import complain
from napari_metassl.cli.evaluating import evaluate
from napari_metassl.cli.exporting import export
from napari_metassl.cli.importing import import_pair
from napari_metassl.cli.predicting import predict
from napari_metassl.cli.projects import jobs, new, pairs, use
from napari_metassl.cli.training import fine_tune, train
from napari_metassl.cli.window import demo, review
from napari_metassl.errors import Cancelled, MetaSSLError

MISTAKE, CANCELLED = 1, 130


class SentenceGroup(TyperGroup):
    """Turns what a person can cause into one sentence on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, Cancelled) as stopped:
            complain(str(stopped) or "Stopped.")
            raise typer.Exit(CANCELLED) from None
        except MetaSSLError as error:
            complain(str(error))
            raise typer.Exit(MISTAKE) from None
        except OSError as error:
            if error.errno == errno.EPIPE:  # `| head`: typer ends quietly
                raise
            place = f" at '{error.filename}'" if error.filename else ""
            complain(f"The system refused{place}: {error.strerror or error}. Mend that first.")
            raise typer.Exit(MISTAKE) from None


app = typer.Typer(
    cls=SentenceGroup,
    help="Review, correct and fine-tune semi-supervised 3D segmentation (MetaSSL).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (new, train, predict, review, fine_tune, evaluate, export, demo, pairs, use, jobs):
    app.command()(command)
app.command("import")(import_pair)


def _print_version(asked: bool) -> None:
    if asked:
        from napari_metassl import __version__

        typer.echo(f"napari-metassl {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Review, correct and fine-tune semi-supervised 3D segmentation (MetaSSL)."""
