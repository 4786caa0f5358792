"""Section of the page on the claims of the study."""

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


def claims_section(source: PageSource) -> PageSection | None:
    """Return the section; None if the page does not judge the claims."""
    if not source.claims:
        return None
    return PageSection("findings", "Claims of the study", _RULE + findings_html(source.findings))
