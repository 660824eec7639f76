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

data "aws_caller_identity" "here" {}

data "aws_partition" "here" {}

locals {
  account = data.aws_caller_identity.here.account_id
  # aws, aws-cn or aws-us-gov: an ARN that begins with arn:aws: works in the first only.
  arn = "arn:${data.aws_partition.here.partition}"
}
