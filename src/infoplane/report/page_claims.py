"""Section of the page on the claims of the study, folded away; of the user's own data only if asked for."""

from collections import Counter

from infoplane.findings.finding import CONTRADICTED, SUPPORTED, UNDECIDED
from infoplane.report.findings_table import findings_html
from infoplane.report.page_section import PageSection, PageSource

_RULE = """<p>Whether the claims of the study hold in this run. Each finding is a statistic with a 95&nbsp;% interval
over the choice of test examples and, if the run has several seeds, over seeds. A claim rests on one estimator per
quantity, which is chosen by rule and never by its result: I(X;T) by the KDE lower bound at relative noise, I(T;Y) by
held-out decoders, on original examples, averaged over the layers that are neither saturated nor null-like. A claim is
<em>supported</em> if all its parts are. It is <em>contradicted</em> if any of its parts is, after correcting for
multiple tests. Otherwise it is <em>undecided</em>: an interval spans the border, values are saturated or within their
null, records are missing, or a claim that compares methods of training has one seed only. <code>findings.json</code>
has all numbers, in nats.</p>
"""


_NOT_JUDGED = (
    "<p>The claims of the study are about its own data and networks, so this page does not judge them on yours. "
    "<code>infoplane report RUN --claims</code> adds them.</p>"
)


def claims_section(source: PageSource) -> PageSection:
    """Return the section; where the claims are not judged, it says how to get them."""
    title = "Claims of the study"
    if not source.claims:
        return PageSection("findings", title, _NOT_JUDGED)
    counts = Counter(one.verdict for one in source.findings.claims)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in (SUPPORTED, CONTRADICTED, UNDECIDED))
    summary = f"{len(source.findings.claims)} claims: {said}"
    html = f"<details><summary>{summary}</summary>{_RULE}{findings_html(source.findings)}</details>"
    return PageSection("findings", title, html)
