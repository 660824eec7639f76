/** Rules: by what an asset was found on the bill, in words. */

export const RULES: Record<string, string> = {
  provider_id: "its id",
  node_network: "its node’s id",
  persistent_volume: "volume name",
  service_tag: "service tag",
  scale_set: "share of its scale set",
  cluster_name: "cluster name",
};
