# Who may write: one role for each cluster, that can reach the objects of that cluster alone.
#
# The pipeline runs as a role of its own account (cluster-account/) and assumes these, with the external id.

locals {
  clusters = { for cluster in var.clusters : cluster.name => cluster }

  # `?` stands for one character. With `*` in its place, `*_prod.snappy.parquet` would let the cluster `prod` write the
  # files of `team_prod`, for `*` crosses underscores and slashes.
  day = "????-??-??"
  written = {
    for name, cluster in local.clusters : name => [
      "${local.exports}account_id=${cluster.account_id}/region=${cluster.region}/year=????/month=??/${local.day}_${name}.snappy.parquet",
      "${local.exports}cluster=${name}/date=${local.day}/*",
    ]
  }
  listed = {
    for name, cluster in local.clusters : name => [
      "${local.exports}account_id=${cluster.account_id}/region=${cluster.region}/*",
      "${local.exports}cluster=${name}/*",
    ]
  }
}

resource "aws_iam_role" "export" {
  for_each             = local.clusters
  name                 = "kubecost-pipelines-${each.key}"
  description          = "Exports the allocation of the cluster ${each.key}."
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  max_session_duration = 3600 # AWS gives chained sessions no more
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = [var.pipeline_role_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [var.external_id]
    }
  }
}

resource "aws_iam_role_policy" "export" {
  for_each = local.clusters
  name     = "export"
  role     = aws_iam_role.export[each.key].id
  policy   = data.aws_iam_policy_document.export[each.key].json
}

data "aws_iam_policy_document" "export" {
  for_each = local.clusters

  statement {
    sid       = "WriteItsDays"
    actions   = ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"]
    resources = [for key in local.written[each.key] : "${aws_s3_bucket.costs.arn}/${key}"]
  }

  statement {
    sid       = "ListItsDays"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.costs.arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = local.listed[each.key]
    }
  }

  # Glue knows no smaller thing than a table.
  statement {
    sid = "RegisterItsPartitions"
    actions = [
      "glue:GetDatabase", "glue:GetTable", "glue:GetPartition", "glue:GetPartitions", "glue:BatchGetPartition",
      "glue:BatchCreatePartition", "glue:UpdatePartition", "glue:UpdateTable",
    ]
    resources = [
      "${local.arn}:glue:${var.region}:${local.account}:catalog",
      aws_glue_catalog_database.costs.arn,
      aws_glue_catalog_table.drop_in.arn,
      aws_glue_catalog_table.native.arn,
    ]
  }
}
