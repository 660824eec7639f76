# Who may ask: attach this policy to the people and the dashboards that query.

resource "aws_iam_policy" "reader" {
  name        = "kubecost-pipelines-reader"
  description = "Query the cost tables in the workgroup kubecost-pipelines."
  policy      = data.aws_iam_policy_document.reader.json
}

data "aws_iam_policy_document" "reader" {
  statement {
    sid = "AskInTheWorkgroup"
    actions = [
      "athena:StartQueryExecution", "athena:StopQueryExecution", "athena:GetQueryExecution", "athena:GetQueryResults",
      "athena:GetWorkGroup", "athena:ListQueryExecutions",
    ]
    resources = [aws_athena_workgroup.costs.arn]
  }

  statement {
    sid     = "SeeTheTables"
    actions = ["glue:GetDatabase", "glue:GetTable", "glue:GetTables", "glue:GetPartition", "glue:GetPartitions"]
    resources = [
      "${local.arn}:glue:${var.region}:${local.account}:catalog",
      aws_glue_catalog_database.costs.arn,
      "${local.arn}:glue:${var.region}:${local.account}:table/${var.database}/*",
    ]
  }

  statement {
    sid       = "ReadTheExports"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.costs.arn}/${local.exports}*"]
  }

  statement {
    sid       = "KeepTheAnswers"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    resources = ["${aws_s3_bucket.costs.arn}/${local.results}*"]
  }

  statement {
    sid       = "ListBoth"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.costs.arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${local.exports}*", "${local.results}*"]
    }
  }

  statement {
    sid       = "FindTheBucket"
    actions   = ["s3:GetBucketLocation"]
    resources = [aws_s3_bucket.costs.arn]
  }
}
