"""Describing: what OpenAPI says of each route: the shape of its answer, an example, and its errors."""

from typing import Any

Schema = dict[str, Any]

_NUMBER: Schema = {"type": ["number", "null"]}
_TEXT: Schema = {"type": "string"}
_WINDOW: Schema = {"type": "object", "properties": {"start": _TEXT, "end": _TEXT}, "required": ["start", "end"]}


def _object(required: dict[str, Schema], **more: Any) -> Schema:
    return {"type": "object", "properties": required, "required": list(required), **more}


def _map_of(item: Schema) -> Schema:
    return {"type": "object", "additionalProperties": item}


def _list_of(item: Schema) -> Schema:
    return {"type": "array", "items": item}


_FLAGS: dict[str, Schema] = {"reconciled": {"type": "boolean"}, "settled": {"type": "boolean"}}
_ALLOCATION = _object(
    {
        "name": _TEXT,
        "properties": {"type": "object"},
        "window": _WINDOW,
        **dict.fromkeys(("minutes", "cpuCost", "ramCost", "gpuCost", "pvCost", "networkCost"), _NUMBER),
        **dict.fromkeys(("loadBalancerCost", "sharedCost", "externalCost", "totalCost", "totalEfficiency"), _NUMBER),
        **_FLAGS,
    }
)
_SUMMARY = _object({"name": _TEXT, "totalCost": _NUMBER, "totalEfficiency": _NUMBER, **_FLAGS})
_ASSET = _object(
    {"properties": {"type": "object"}, "labels": _map_of(_TEXT), "window": _WINDOW, "totalCost": _NUMBER, **_FLAGS}
)
_METRIC = _object({"cost": _NUMBER, "kubernetesPercent": _NUMBER})
_CLOUD_COST = _object(
    {
        "properties": {"type": "object"},
        "window": _WINDOW,
        **dict.fromkeys(("listCost", "netCost", "amortizedNetCost", "invoicedCost", "amortizedCost"), _METRIC),
    }
)
_ROW = _object({"name": _TEXT, "labels": {"type": "object"}, "kubernetesPercent": _NUMBER, "cost": _NUMBER})

DATA: dict[str, Schema] = {
    "allocation_sets": _list_of(_map_of(_ALLOCATION)),
    "allocation_summary": _object(
        {
            "step": {"type": "integer"},
            "sets": _list_of(_object({"allocations": _map_of(_SUMMARY), "window": _WINDOW})),
            "window": _WINDOW,
        }
    ),
    "allocation_topline": _object(
        {"numResults": {"type": "integer"}, "combined": _object({"allocations": _map_of(_SUMMARY), "window": _WINDOW})}
    ),
    "asset_sets": _list_of(_map_of(_ASSET)),
    "asset_map": _map_of(_ASSET),
    "asset_topline": _object({"totalCost": _NUMBER, "adjustment": _NUMBER, "numResults": {"type": "integer"}}),
    "cloud_costs": _object(
        {
            "sets": _list_of(
                _object(
                    {
                        "cloudCosts": {"anyOf": [_map_of(_CLOUD_COST), {"type": "null"}]},
                        "window": _WINDOW,
                        "aggregationProperties": _list_of(_TEXT),
                    }
                )
            ),
            "window": _WINDOW,
        }
    ),
    "view_graph": _list_of(
        _object({"start": _TEXT, "end": _TEXT, "items": _list_of(_object({"name": _TEXT, "value": _NUMBER}))})
    ),
    "view_totals": _object({"numResults": {"type": "integer"}, "combined": _ROW}),
    "view_table": _list_of(_ROW),
}

_DAY = {"start": "2026-10-05T00:00:00Z", "end": "2026-10-06T00:00:00Z"}
_SUMMARY_EXAMPLE = {
    "name": "web",
    "start": _DAY["start"],
    "end": _DAY["end"],
    "cpuCost": 3.1,
    "ramCost": 1.2,
    "gpuCost": 0.0,
    "networkCost": 0.1,
    "loadBalancerCost": 0.5,
    "pvCost": 0.0,
    "sharedCost": 0.4,
    "externalCost": 0.0,
    "totalCost": 5.3,
    "totalEfficiency": 0.61,
    "reconciled": True,
    "settled": True,
}
_ALLOCATION_EXAMPLE = {
    **_SUMMARY_EXAMPLE,
    "properties": {"cluster": "prod-eks-1", "namespace": "web"},
    "window": _DAY,
    "minutes": 1440.0,
    "cpuCostAdjustment": -0.4,
}
_ASSET_EXAMPLE = {
    "type": "Node",
    "properties": {
        "category": "Compute",
        "provider": "AWS",
        "cluster": "prod-eks-1",
        "providerID": "i-0aaaaaaaaaaaaaa01",
    },
    "labels": {},
    "window": _DAY,
    "minutes": 1440.0,
    "adjustment": -0.9,
    "totalCost": 3.7,
    "reconciled": True,
    "settled": True,
    "matchRule": "provider_id",
}
_METRIC_EXAMPLE = {"cost": 12.5, "kubernetesPercent": 0.85}
_CLOUD_EXAMPLE = {
    "properties": {"provider": "AWS", "service": "AmazonEC2"},
    "window": _DAY,
    **dict.fromkeys(("listCost", "netCost", "amortizedNetCost", "invoicedCost", "amortizedCost"), _METRIC_EXAMPLE),
    "reconciled": True,
}
_ROW_EXAMPLE = {"name": "AmazonEC2", "labels": {}, "kubernetesPercent": 0.85, "cost": 12.5}

EXAMPLES: dict[str, Any] = {
    "allocation_sets": [{"web": _ALLOCATION_EXAMPLE}],
    "allocation_summary": {
        "step": 86_400_000_000_000,
        "sets": [{"allocations": {"web": _SUMMARY_EXAMPLE}, "window": _DAY}],
        "window": _DAY,
    },
    "allocation_topline": {
        "numResults": 1,
        "combined": {"allocations": {"total": {**_SUMMARY_EXAMPLE, "name": "total"}}, "window": _DAY},
    },
    "asset_sets": [{"AWS/Node": _ASSET_EXAMPLE}],
    "asset_map": {"AWS/Node": _ASSET_EXAMPLE},
    "asset_topline": {"totalCost": 41.2, "adjustment": -3.1, "numResults": 12},
    "cloud_costs": {
        "sets": [{"cloudCosts": {"AmazonEC2": _CLOUD_EXAMPLE}, "window": _DAY, "aggregationProperties": ["service"]}],
        "window": _DAY,
    },
    "view_graph": [{**_DAY, "items": [{"name": "AmazonEC2", "value": 12.5}]}],
    "view_totals": {"numResults": 1, "combined": {**_ROW_EXAMPLE, "name": "Totals"}},
    "view_table": [_ROW_EXAMPLE],
}

_HOUR = {"start": "2026-10-05T03:00:00Z", "end": "2026-10-05T04:00:00Z"}
BY_HOUR: dict[str, Any] = {
    "allocation_sets": [{"web": {**_ALLOCATION_EXAMPLE, **_HOUR, "window": _HOUR, "minutes": 60.0}}],
    "allocation_summary": {
        "step": 3_600_000_000_000,
        "sets": [{"allocations": {"web": {**_SUMMARY_EXAMPLE, **_HOUR}}, "window": _HOUR}],
        "window": _HOUR,
    },
}
"""The same asked with `accumulate=hour`."""

ERROR: Schema = _object({"code": {"type": "integer"}, "message": _TEXT})
ERRORS = {
    400: ("The question cannot be understood", "illegal window: 7x. A window is one of: today, yesterday, …"),
    401: ("No token, or an unknown one", "a token is needed: send `Authorization: Bearer <token>`."),
    403: ("The token may not do this", "the token may read; this needs the role `operate`."),
    404: ("There is no such thing", "no bill `aws/1`; known are aws/111122223333."),
    409: ("It runs already", "backfill abcdefgh runs already."),
    429: ("Too many requests", "more than 600 requests a minute: wait 3 s."),
    503: ("It cannot be answered now", "the serving store is not built yet. It is built when `serve` starts."),
}
READ_ERRORS = (400, 401, 403, 429, 503)


def errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return the errors of a route for OpenAPI."""
    return {
        code: {
            "description": ERRORS[code][0],
            "content": {"application/json": {"schema": ERROR, "example": {"code": code, "message": ERRORS[code][1]}}},
        }
        for code in codes
    }


def documented(shape: str, path: str) -> dict[str, Any]:
    """Return what `add_api_route` is told of a cost route."""
    schema = _object(
        {"code": {"type": "integer"}, "data": DATA[shape]},
    )
    content: dict[str, Any] = {"application/json": {"schema": schema, **_examples(shape)}}
    if shape not in ("allocation_topline", "asset_topline", "view_graph", "view_totals"):
        content["text/csv"] = {"schema": _TEXT, "example": "name,totalCost\r\nweb,5.3\r\n"}
    answered = {"description": "The answer", "content": content}
    return {"responses": {200: answered, **errors(*READ_ERRORS)}, "name": path}


def _examples(shape: str) -> dict[str, Any]:
    """Return the example of an answer, and where hours can be asked for, one of each."""
    answer = {"code": 200, "status": "success", "data": EXAMPLES[shape]}
    if shape not in BY_HOUR:
        return {"example": answer}
    by_hour = {**answer, "data": BY_HOUR[shape]}
    return {
        "examples": {
            "day": {"summary": "window=2026-10-05T00:00:00Z,2026-10-06T00:00:00Z", "value": answer},
            "hour": {
                "summary": "window=2026-10-05T03:00:00Z,2026-10-05T04:00:00Z&accumulate=hour",
                "value": by_hour,
            },
        }
    }
