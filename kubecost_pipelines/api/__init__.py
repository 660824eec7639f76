"""API: Kubecost's and OpenCost's HTTP routes over the lake: parse, ask `operations`, answer."""
