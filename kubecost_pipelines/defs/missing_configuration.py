"""connection_status without a configuration: the graph that says what is missing."""

import dagster as dg

from kubecost_pipelines.core.expectations import Expectation
from kubecost_pipelines.defs.reporting import Materialized

MISSING_CONFIGURATION = "MISSING_CONFIGURATION"
CURE = (
    "No settings were found. Write kubecost-pipelines.yaml (docs/settings.md) or let KUBECOST_PIPELINES_CONFIG name "
    "yours, then reload the code location."
)
IS_CONFIGURED = Expectation("is_configured", CURE, lambda rows: rows)


def build_missing_configuration() -> dg.AssetsDefinition:
    """Build the one asset of a deployment that nothing is configured for."""

    @dg.asset(
        key=["connection_status"],
        description=f"{MISSING_CONFIGURATION}\n\n{CURE}",
        group_name="setup",
        owners=["team:finops"],
        metadata={"status": MISSING_CONFIGURATION, "cure": CURE},
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec(IS_CONFIGURED.name, asset=["connection_status"], description=CURE)],
    )
    def connection_status() -> Materialized:
        return dg.MaterializeResult(
            metadata={"status": MISSING_CONFIGURATION, "cure": CURE},
            check_results=[dg.AssetCheckResult(check_name=IS_CONFIGURED.name, passed=False, description=CURE)],
        )

    return connection_status
