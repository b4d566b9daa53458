from deployments.report import render
from tasks.drawing import svg_of

PLOT = {
    "title": "eu-eks/web: CPU demand",
    "unit": "cores",
    "lines": [{"label": "observed", "t": [0, 300, 600], "y": [1.0, None, 2.0]}],
    "bands": [{"label": "p10 to p90", "t": [600, 900], "low": [1.0, 1.0], "high": [3.0, 4.0]}],
    "steps": [{"label": "capacity", "t": [0, 900], "y": [5.0, 5.0]}],
    "marks": [{"t": 300, "label": "6 to 9 nodes"}],
}
SECTION = {
    "title": "Sizes",
    "paragraphs": ["<script>alert(1)</script>"],
    "table": {"columns": ["pool", "nodes"], "rows": [["eu-eks/web", 3]]},
    "plots": [PLOT],
}


def page(**changes: object) -> str:
    return render([{**SECTION, **changes}], title="T", subtitle="S", footer="F", simulated=True)


def test_what_comes_from_outside_is_escaped() -> None:
    assert "<script>" not in page()
    assert "&lt;script&gt;" in page()


def test_names_in_a_plot_are_escaped() -> None:
    named = {**PLOT, "title": "<script>alert(1)</script>", "unit": "<script>", "marks": [{"t": 0, "label": "<script>"}],
             "lines": [{"label": "<script>x</script>", "t": [0, 300], "y": [1.0, 2.0]}]}  # fmt: skip
    assert "<script" not in page(plots=[named])


def test_a_simulated_fleet_is_called_so() -> None:
    assert "simulated fleet" in page()


def test_the_page_needs_nothing_from_elsewhere() -> None:
    html = page()
    assert "src=" not in html
    assert "<link" not in html


def test_a_plot_has_its_unit_and_labels() -> None:
    svg = svg_of(PLOT)
    assert svg.startswith("<svg")
    for words in ("cores", "observed", "capacity", "6 to 9 nodes"):
        assert words in svg


def test_the_same_sections_give_the_same_bytes() -> None:
    assert page() == page()
