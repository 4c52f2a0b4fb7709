"""The icons of the installed dashboard, from its icon.svg: python -m tests.dashboard.icons"""

from playwright.sync_api import sync_playwright

from stack import ROOT
from tests.dashboard.conftest import CHROMIUM

DASHBOARD = ROOT / "examples/dashboard"


def main() -> None:
    plain = (DASHBOARD / "icon.svg").read_text()
    # Phones cut a maskable one to their own shape: what matters is within its middle 80 %.
    maskable = plain.replace('rx="9" ', "").replace(
        "<path", '<path transform="translate(3.2 3.2) scale(.8)"'
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        for name, svg, size in (
            ("icon-192", plain, 192),
            ("icon-512", plain, 512),
            ("icon-maskable-512", maskable, 512),
        ):
            page = browser.new_page(viewport={"width": size, "height": size})
            page.set_content(f"<style>body {{ margin: 0 }} svg {{ display: block }}</style>{svg}")
            page.screenshot(path=DASHBOARD / f"{name}.png", omit_background=True)
        browser.close()


if __name__ == "__main__":
    main()
