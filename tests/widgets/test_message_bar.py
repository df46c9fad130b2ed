"""The line above the pages."""

from __future__ import annotations

from napari_metassl.widgets.message_bar import MessageBar
from napari_metassl.widgets.session import Notice, Session


def test_good_news_goes_away_by_itself_and_warnings_stay(qtbot) -> None:
    session = Session()
    bar = MessageBar(session)
    qtbot.addWidget(bar)
    bar.old.setInterval(20)
    stay = (
        Notice("The disk is full.", "error"),
        Notice("All sites are reviewed.", "good", offer="Next volume", what="next volume"),
    )
    for notice in stay:
        session.notice = notice
        qtbot.wait(60)
        assert bar.isVisible()
    session.notice = Notice("Predicted 1 volume.", "good")
    assert bar.isVisible()
    qtbot.waitUntil(lambda: not bar.isVisible(), timeout=5000)
