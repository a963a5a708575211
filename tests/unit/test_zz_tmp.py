from assembly import *
import json
from architecture.test_assembly import report


def test_x(assembly, other):
    found = sorted(
        {
            (f["ruleName"], v["constructPath"], f["reason"])
            for p in report(assembly)["pluginReports"]
            for f in p.get("suppressedViolations", [])
            for v in f["violatingConstructs"]
        }
    )
    exp = json.loads((ROOT / "tests/architecture/acknowledged.json").read_text())
    print("NEW", json.dumps([list(f) for f in found if list(f) not in exp], indent=2))
    print("GONE", [e for e in exp if tuple(e) not in found])
    (ROOT / "tests/architecture/acknowledged.json").write_text(
        json.dumps([list(f) for f in found], indent=2) + "\n"
    )
    from iam_statements import statements

    print(
        json.dumps(
            {
                WEST: {k: v for k, v in statements(other.templates[WEST]).items() if "Serving" in k},
                "east": {
                    k: v
                    for k, v in statements(other.templates["cms-client-east-555555555555-eu-west-1"]).items()
                    if "Serving" in k
                },
            },
            indent=2,
        )
    )
    from cdk_app.review.review import review

    for s in (WEST, "cms-client-east-555555555555-eu-west-1"):
        r = review(other.text(s).encode())
        print(r.passed, [str(p) for p in r.problems])
    for s in (NORTH, SOUTH):
        r = review(assembly.text(s).encode())
        print(r.passed, [str(p) for p in r.problems])
