# The bucket: encrypted, versioned, private, tidied up.

resource "aws_s3_bucket" "costs" {
  bucket = var.bucket
}

resource "aws_s3_bucket_public_access_block" "costs" {
  bucket                  = aws_s3_bucket.costs.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "costs" {
  bucket = aws_s3_bucket.costs.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "costs" {
  bucket = aws_s3_bucket.costs.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_versioning" "costs" {
  bucket = aws_s3_bucket.costs.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_policy" "costs" {
  bucket = aws_s3_bucket.costs.id
  policy = data.aws_iam_policy_document.bucket.json

  # Before the block exists, AWS may take a policy for a public one.
  depends_on = [aws_s3_bucket_public_access_block.costs]
}

# The conditions of one statement must all hold: what shall be refused each by itself is a statement each.
data "aws_iam_policy_document" "bucket" {
  statement {
    sid       = "RefuseWithoutTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.costs.arn, "${aws_s3_bucket.costs.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  statement {
    sid       = "RefuseOldTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.costs.arn, "${aws_s3_bucket.costs.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "NumericLessThan"
      variable = "s3:TlsVersion"
      values   = ["1.2"]
    }
  }

  # The pipeline may run in another account: then its own policy is not enough.
  statement {
    sid       = "ThePipelineKeepsItsLake"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["${aws_s3_bucket.costs.arn}/lake/*"]

    principals {
      type        = "AWS"
      identifiers = [var.pipeline_role_arn]
    }
  }

  statement {
    sid       = "ThePipelineListsItsLake"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.costs.arn]

    principals {
      type        = "AWS"
      identifiers = [var.pipeline_role_arn]
    }

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["lake", "lake/*"]
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "costs" {
  count  = var.manage_lifecycle ? 1 : 0
  bucket = aws_s3_bucket.costs.id

  rule {
    id     = "what-a-replaced-day-leaves"
    status = "Enabled"
    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 30
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }

  rule {
    id     = "answers-of-athena"
    status = "Enabled"

    filter {
      prefix = local.results
    }

    expiration {
      days = 7
    }
  }

  dynamic "rule" {
    for_each = var.expire_exports_after_days == null ? [] : [var.expire_exports_after_days]

    content {
      id     = "old-exports"
      status = "Enabled"

      filter {
        prefix = local.exports
      }

      expiration {
        days = rule.value
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.costs]
}
