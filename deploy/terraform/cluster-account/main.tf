# The role that Dagster's pods run as, in the account of the cluster that they run in. Apply this before ../.
#
# Kubernetes gives it to one service account. By itself it can keep the lake, read the bills that are named, and assume
# the export roles of the account with the bucket.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80, < 7.0"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { project = "kubecost_pipelines" }
  }
}

data "aws_partition" "here" {}

locals {
  arn = "arn:${data.aws_partition.here.partition}"
  # The part of the provider's ARN after oidc-provider/ is how its tokens call their issuer.
  issuer = element(split(":oidc-provider/", var.oidc_provider_arn), 1)
}

resource "aws_iam_role" "pipeline" {
  name               = "kubecost-pipelines"
  description        = "What kubecost_pipelines runs as."
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }

    # Without the subject, any pod of the cluster could take the role.
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = ["system:serviceaccount:${var.service_account}"]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

resource "aws_iam_role_policy" "pipeline" {
  name   = "pipeline"
  role   = aws_iam_role.pipeline.id
  policy = data.aws_iam_policy_document.pipeline.json
}

data "aws_iam_policy_document" "pipeline" {
  statement {
    sid       = "AssumeTheExportRoles"
    actions   = ["sts:AssumeRole"]
    resources = ["${local.arn}:iam::${var.bucket_account}:role/kubecost-pipelines-*"]
  }

  statement {
    sid       = "KeepTheLake"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["${local.arn}:s3:::${var.bucket}/lake/*"]
  }

  statement {
    sid       = "ListTheLake"
    actions   = ["s3:ListBucket"]
    resources = ["${local.arn}:s3:::${var.bucket}"]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["lake", "lake/*"]
    }
  }

  dynamic "statement" {
    for_each = length(var.bill_buckets) == 0 ? [] : [var.bill_buckets]

    content {
      sid     = "ReadTheBills"
      actions = ["s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation"]
      resources = flatten([
        for bucket in statement.value : ["${local.arn}:s3:::${bucket}", "${local.arn}:s3:::${bucket}/*"]
      ])
    }
  }
}
