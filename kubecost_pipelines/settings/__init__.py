"""Settings: one deployment, validated. Secrets are named or held masked, never printed."""

from kubecost_pipelines.settings.export import AwsIdentitySettings, ExportSettings, GlueSettings
from kubecost_pipelines.settings.load import CONFIG_VARIABLE, SettingsError, load_settings
from kubecost_pipelines.settings.model import (
    CloudStoreSettings,
    ClusterSettings,
    Process,
    Settings,
)

__all__ = [
    "CONFIG_VARIABLE",
    "AwsIdentitySettings",
    "CloudStoreSettings",
    "ClusterSettings",
    "ExportSettings",
    "GlueSettings",
    "Process",
    "Settings",
    "SettingsError",
    "load_settings",
]
