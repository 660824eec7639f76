# The catalog: the database, the drop-in table and the three tables of our own layout.
#
# columns.json is what the pipeline writes, by `make docs`; it adds a column that is missing, so that both may make the tables.

locals {
  exports  = "exports/"
  location = "s3://${aws_s3_bucket.costs.id}/${local.exports}"
  columns  = jsondecode(file("${path.module}/columns.json"))

  # Glue knows lower case only.
  drop_in_columns = concat(
    local.columns.drop_in,
    [for key in var.labels : { name = lower("properties.labels.${key}"), type = "string" }],
    [for key in var.annotations : { name = lower("properties.annotations.${key}"), type = "string" }],
  )

  by_day   = ["cluster", "date"]
  by_month = ["account_id", "region", "year", "month"]
  tables = {
    kubecost_table             = { columns = local.drop_in_columns, keys = local.by_month, template = "account_id=$${account_id}/region=$${region}/year=$${year}/month=$${month}/" }
    allocations                = { columns = local.columns.allocations, keys = local.by_day, template = "cluster=$${cluster}/date=$${date}/allocations/" }
    allocations_volumes        = { columns = local.columns.volumes, keys = local.by_day, template = "cluster=$${cluster}/date=$${date}/volumes/" }
    allocations_load_balancers = { columns = local.columns.load_balancers, keys = local.by_day, template = "cluster=$${cluster}/date=$${date}/load_balancers/" }
  }

  # How Athena computes the values of each partition key.
  projections = {
    account_id = { type = "enum", values = join(",", sort(distinct(var.clusters[*].account_id))) }
    region     = { type = "enum", values = join(",", sort(distinct(var.clusters[*].region))) }
    year       = { type = "integer", range = "2020,2100", digits = "4" }
    month      = { type = "integer", range = "1,12", digits = "2" }
    cluster    = { type = "enum", values = join(",", sort(var.clusters[*].name)) }
    date       = { type = "date", format = "yyyy-MM-dd", range = "2020-01-01,NOW", "interval.unit" = "DAYS" }
  }
}

resource "aws_glue_catalog_database" "costs" {
  name         = var.database
  description  = "Kubernetes cost by workload, written by kubecost_pipelines."
  location_uri = local.location
}

resource "aws_glue_catalog_table" "allocation" {
  for_each      = local.tables
  database_name = aws_glue_catalog_database.costs.name
  name          = each.key
  table_type    = "EXTERNAL_TABLE"

  parameters = merge(
    { EXTERNAL = "TRUE", classification = "parquet" },
    var.projection ? merge(
      { "projection.enabled" = "true", "storage.location.template" = "${local.location}${each.value.template}" },
      [for key in each.value.keys : { for name, value in local.projections[key] : "projection.${key}.${name}" => value }]...
    ) : {},
  )

  dynamic "partition_keys" {
    for_each = each.value.keys

    content {
      name = partition_keys.value
      type = "string"
    }
  }

  storage_descriptor {
    location      = local.location
    input_format  = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    }

    dynamic "columns" {
      for_each = each.value.columns

      content {
        name = columns.value.name
        type = columns.value.type
      }
    }
  }
}
