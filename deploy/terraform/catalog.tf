# The catalog: the database and the two tables. The pipeline registers the partitions of the drop-in table in the run that
# writes them; those of our own are computed from the query, so that nothing has to be registered.

locals {
  exports = "exports/"
  columns = jsondecode(file("${path.module}/columns.json"))

  # Glue knows lower case only.
  drop_in_columns = concat(
    local.columns.drop_in,
    [for key in var.labels : { name = lower("properties.labels.${key}"), type = "string" }],
    [for key in var.annotations : { name = lower("properties.annotations.${key}"), type = "string" }],
  )
}

resource "aws_glue_catalog_database" "costs" {
  name         = var.database
  description  = "Kubernetes cost by workload, written by kubecost_pipelines."
  location_uri = "s3://${aws_s3_bucket.costs.id}/${local.exports}"
}

resource "aws_glue_catalog_table" "drop_in" {
  database_name = aws_glue_catalog_database.costs.name
  name          = "kubecost_table"
  description   = "A day's allocation, in the columns of the AWS containers cost allocation dashboard."
  table_type    = "EXTERNAL_TABLE"

  parameters = {
    EXTERNAL              = "TRUE"
    classification        = "parquet"
    "parquet.compression" = "SNAPPY"
  }

  dynamic "partition_keys" {
    for_each = ["account_id", "region", "year", "month"]

    content {
      name = partition_keys.value
      type = "string"
    }
  }

  storage_descriptor {
    location      = "s3://${aws_s3_bucket.costs.id}/${local.exports}"
    input_format  = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    }

    dynamic "columns" {
      for_each = local.drop_in_columns

      content {
        name = columns.value.name
        type = columns.value.type
      }
    }
  }
}

resource "aws_glue_catalog_table" "native" {
  database_name = aws_glue_catalog_database.costs.name
  name          = "allocations"
  description   = "A day's allocation in our own layout: nulls kept, every label and annotation in a map."
  table_type    = "EXTERNAL_TABLE"

  parameters = {
    EXTERNAL                    = "TRUE"
    classification              = "parquet"
    "projection.enabled"        = "true"
    "projection.cluster.type"   = "enum"
    "projection.cluster.values" = join(",", sort(keys(local.clusters)))
    "projection.date.type"      = "date"
    "projection.date.format"    = "yyyy-MM-dd"
    "projection.date.range"     = "${var.first_day},NOW"
    "storage.location.template" = "s3://${aws_s3_bucket.costs.id}/${local.exports}cluster=$${cluster}/date=$${date}/allocations"
  }

  dynamic "partition_keys" {
    for_each = ["cluster", "date"]

    content {
      name = partition_keys.value
      type = "string"
    }
  }

  storage_descriptor {
    location      = "s3://${aws_s3_bucket.costs.id}/${local.exports}"
    input_format  = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    }

    dynamic "columns" {
      for_each = local.columns.native

      content {
        name = columns.value.name
        type = columns.value.type
      }
    }
  }
}
