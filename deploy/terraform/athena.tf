# Where people ask: answers are encrypted, and no query costs more than the cutoff.

locals {
  results = "athena-results/"
}

resource "aws_athena_workgroup" "costs" {
  name          = "kubecost-pipelines"
  force_destroy = true # an answer can be asked again

  configuration {
    # Otherwise a client's own settings would come before these.
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.bytes_scanned_cutoff

    engine_version {
      selected_engine_version = "Athena engine version 3"
    }

    result_configuration {
      output_location       = "s3://${aws_s3_bucket.costs.id}/${local.results}"
      expected_bucket_owner = local.account

      encryption_configuration {
        encryption_option = "SSE_S3"
      }
    }
  }
}
