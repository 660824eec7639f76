# Who may write: a role for each deployment, that can reach the objects of its clusters alone.
#
# The pipeline runs as a role of its own account (cluster-account/) and assumes this one, with the external id.

locals {
  roles = { for cluster in var.clusters : cluster.role => cluster... }

  # `?` stands for one character. With `*` in its place, `*_prod.snappy.parquet` would let the cluster `prod` write the
  # files of `team_prod`, for `*` crosses underscores and slashes.
  day = "????-??-??"
  written = {
    for role, clusters in local.roles : role => flatten([
      for cluster in clusters : [
        "${local.exports}account_id=${cluster.account_id}/region=${cluster.region}/year=????/month=??/${local.day}_${cluster.name}.snappy.parquet",
        "${local.exports}cluster=${cluster.name}/date=${local.day}/*",
      ]
    ])
  }
  listed = {
    for role, clusters in local.roles : role => distinct(flatten([
      for cluster in clusters : [
        "${local.exports}account_id=${cluster.account_id}/region=${cluster.region}/*",
        "${local.exports}cluster=${cluster.name}/*",
      ]
    ]))
  }
}

resource "aws_iam_role" "export" {
  for_each             = local.roles
  name                 = "kubecost-pipelines-${each.key}"
  description          = "Exports the allocation of ${join(", ", each.value[*].name)}."
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
  for_each = local.roles
  name     = "export"
  role     = aws_iam_role.export[each.key].id
  policy   = data.aws_iam_policy_document.export[each.key].json
}

data "aws_iam_policy_document" "export" {
  for_each = local.roles

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
      values   = concat(local.listed[each.key], ["${local.results}*"])
    }
  }

  # Glue knows no smaller thing than a table.
  statement {
    sid = "RegisterItsPartitions"
    actions = [
      "glue:GetDatabase", "glue:GetTable", "glue:GetPartition", "glue:GetPartitions", "glue:BatchGetPartition",
      "glue:BatchCreatePartition", "glue:UpdatePartition", "glue:UpdateTable",
    ]
    resources = concat(
      ["${local.arn}:glue:${var.region}:${local.account}:catalog", aws_glue_catalog_database.costs.arn],
      [for table in aws_glue_catalog_table.allocation : table.arn],
    )
  }

  # Each day is counted in Athena after its export.
  statement {
    sid = "CountItsDays"
    actions = [
      "athena:StartQueryExecution", "athena:StopQueryExecution", "athena:GetQueryExecution", "athena:GetQueryResults",
    ]
    resources = [aws_athena_workgroup.costs.arn]
  }

  statement {
    sid       = "KeepTheAnswers"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${aws_s3_bucket.costs.arn}/${local.results}*"]
  }

  statement {
    sid       = "FindTheBucket"
    actions   = ["s3:GetBucketLocation"]
    resources = [aws_s3_bucket.costs.arn]
  }
}
