"""Section of the page with its tables to save as CSV and Parquet; they are part of the page, so this works offline."""

import base64
import gzip
import io
from collections.abc import Mapping
from html import escape

import polars as pl

from infoplane.records.tables import flat
from infoplane.report.bits import last_epoch, undistorted
from infoplane.report.page_section import PageSection, PageSource
from infoplane.text import counted

MOST_BYTES = 700_000  # of one table in both formats; of a longer one a part is kept

_TEXT = """<p>The records behind this page, one row per number, in nats. The buttons save a file; nothing is fetched.
<code>infoplane export RUN --csv --parquet</code> writes all epochs from the folder of the run.</p>
"""


def downloads_section(source: PageSource) -> PageSection:
    """Return the section."""
    tables = {"measurements": source.measurements, "geometry": source.geometry, "performance": source.performance}
    html = _table(tables)
    return PageSection("downloads", "Tables to save", _TEXT + html)


def _table(tables: Mapping[str, pl.DataFrame]) -> str:
    lines, contents = "", ""
    for name, table in tables.items():
        packed, note = _packed(flat(table))
        buttons = ""
        for suffix, content in packed.items():
            anchor = f"downloads-{name}-{suffix}"
            zipped = ' data-gzip="yes"' if suffix == "csv" else ""
            label = f'aria-label="Save {escape(name)} as {suffix}"'
            buttons += (
                f'<button type="button" data-table="{anchor}" data-name="{escape(name)}.{suffix}"{zipped} {label}>'
                f"{suffix.upper() if suffix == 'csv' else 'Parquet'}</button> "
            )
            encoded = base64.b64encode(content).decode()
            contents += f'<script type="application/octet-stream" id="{anchor}">{encoded}</script>\n'
        lines += (
            f'<tr><th scope="row">{escape(name)}</th><td>{counted(len(table), "row")}{note}</td>'
            f'<td class="tools">{buttons}</td></tr>'
        )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Buttons that save tables"><table><thead><tr>'
        '<th scope="col" class="text">Table</th><th scope="col">Size</th><th scope="col" class="text">Save as</th></tr>'
        f"</thead><tbody>{lines}</tbody></table></div>\n{contents}"
    )


def _packed(table: pl.DataFrame) -> tuple[dict[str, bytes], str]:
    """Return the table as Parquet and as compressed CSV, and a note if it does not have all rows."""
    packed, note = _formats(table), ""
    for reduce, words in ((last_epoch, "of the last epoch"), (undistorted, "of the last epoch, without distortions")):
        if sum(map(len, packed.values())) <= MOST_BYTES or "epoch" not in table.columns:
            break
        table = reduce(table)
        packed, note = _formats(table), f"; here the {counted(len(table), 'row')} {words}"
    return packed, note


def _formats(table: pl.DataFrame) -> dict[str, bytes]:
    parquet = io.BytesIO()
    table.write_parquet(parquet, compression="zstd", compression_level=12)
    # mtime: equal records give equal pages
    return {"csv": gzip.compress(table.write_csv().encode(), 9, mtime=0), "parquet": parquet.getvalue()}
