"""Report and verdicts in a notebook: sandboxed frames that show the page without an origin."""

import pytest

import transformer_dynamics as td
from browsing import errors_in, foreign_requests, wait_until
from transformer_dynamics.notebook import frame

WALK = td.synthetic.random_walk(n_samples=20, n_sites=12, n_units=8)
OPTIONS = td.ClaimOptions(n_null=19, n_bootstrap=19)
STATEMENT = 'x" onload="document.title = 1"></iframe><script>document.title = 2</script>'


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """A page that holds the outputs of three cells, as a converted notebook does."""
    verdicts = td.evaluate_claims(WALK, claims=["C2", "C4"], options=OPTIONS)
    report = td.Report(WALK, run={"model": STATEMENT, "pending": []})
    report.add(td.paths.kinematics(WALK)).add(verdicts)
    outputs = [verdicts._repr_html_(), report._repr_html_(), frame("<p>short", title=STATEMENT)]
    path = tmp_path_factory.mktemp("notebook") / "notebook.html"
    path.write_text(f"<!doctype html><title>notebook</title>{''.join(outputs)}", encoding="utf-8")
    return path


@pytest.mark.browser
def test_frames_show_verdicts_and_report(driver, notebook):
    driver.get(notebook.as_uri())
    frames = driver.find_elements("tag name", "iframe")
    assert [each.get_attribute("title") for each in frames] == ["Verdicts", "Report", STATEMENT]
    assert [each.get_attribute("sandbox") for each in frames[:2]] == [
        "",
        "allow-scripts allow-downloads",
    ]
    assert all(each.size["height"] > 100 for each in frames)

    driver.switch_to.frame(frames[0])
    rows = driver.find_elements("css selector", "tbody tr")
    assert [row.text.split()[0] for row in rows] == ["C2", "C4"]
    driver.switch_to.default_content()

    driver.switch_to.frame(frames[1])
    assert STATEMENT in driver.find_element("tag name", "h1").text
    driver.execute_script("document.querySelector('.figure').scrollIntoView()")
    wait_until(driver, lambda: driver.find_elements("css selector", ".figure[data-drawn]"))
    theme = "return document.documentElement.dataset.theme"
    before = driver.execute_script(theme)
    driver.find_element("id", "theme").click()
    wait_until(driver, lambda: driver.execute_script(theme) != before)
    driver.find_element("css selector", "a[data-view='details']").click()
    wait_until(driver, driver.find_element("id", "view-details").is_displayed)
    with pytest.raises(Exception, match="sandbox"):
        driver.execute_script("return sessionStorage.length")
    driver.switch_to.default_content()

    assert driver.title == "notebook"
    assert [each for each in errors_in(driver) if "sessionStorage" not in each["message"]] == []
    assert foreign_requests(driver) <= {notebook.as_uri()}
