"""Writes the dashboards as the JSON files that Grafana reads: `make dashboards`."""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from telestream.grafana.panels import customers, executive, network, platform, quality

FOLDER = Path(__file__).resolve().parent / "dashboards"
_MODULES = {
    "network-operations": network,
    "executive-kpi": executive,
    "customer-analytics": customers,
    "data-quality": quality,
    "platform": platform,
}


def built() -> dict[str, str]:
    """Return the text of each file by its name; the same code gives the same text."""
    return {f"{name}.json": _text(module.build()) for name, module in _MODULES.items()}


def _text(builder: dashboard.Dashboard) -> str:
    made = builder.build()
    for number, panel in enumerate(made.panels or [], 1):
        panel.id_val = number
    return json.dumps(made, cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write() -> list[Path]:
    """Write the files that are not as built and remove those of no dashboard; returns what was written or removed."""
    texts = built()
    changed = []
    for name, text in texts.items():
        path = FOLDER / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            changed.append(path)
    for path in set(FOLDER.glob("*.json")) - {FOLDER / name for name in texts}:
        path.unlink()
        changed.append(path)
    return changed


if __name__ == "__main__":
    for changed in write():
        print(changed)
