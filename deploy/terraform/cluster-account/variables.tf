variable "region" {
  description = "Region of the cluster that Dagster runs in."
  type        = string
}

variable "oidc_provider_arn" {
  description = "IAM OIDC provider of that cluster."
  type        = string

  validation {
    condition     = can(regex(":oidc-provider/", var.oidc_provider_arn))
    error_message = "It looks like arn:aws:iam::<account>:oidc-provider/oidc.eks.<region>.amazonaws.com/id/<id>."
  }
}

variable "service_account" {
  description = "Service account of the pods, as <namespace>:<name>."
  type        = string
  default     = "kubecost-pipelines:kubecost-pipelines"
}

variable "bucket" {
  description = "Bucket that ../ creates."
  type        = string
}

variable "bucket_account" {
  description = "Account of that bucket."
  type        = string
}

variable "bill_buckets" {
  description = "Buckets with the bills to read; each bucket's own policy must allow it too where it is another account's."
  type        = list(string)
  default     = []
}
