variable "region" {
  description = "Region of the bucket, the catalog and the workgroup."
  type        = string
}

variable "bucket" {
  description = "Name of the bucket to create. Without an account id or a region in it: such a name can be guessed and taken first."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "A bucket's name has 3 to 63 characters: a-z, 0-9, dots and hyphens."
  }
}

variable "clusters" {
  description = "What is exported: one entry for each cluster, named as in the settings; account_id and region say where it runs. Clusters with the same role are exported by one deployment, which reaches the objects of these alone."
  type = list(object({
    name       = string
    account_id = string
    region     = string
    role       = optional(string, "export")
  }))

  validation {
    # What is not in this alphabet could be a wildcard in a policy.
    condition     = alltrue([for cluster in var.clusters : can(regex("^[A-Za-z0-9][A-Za-z0-9._-]*$", cluster.name))])
    error_message = "A cluster's name has letters, digits, dots, hyphens and underscores."
  }

  validation {
    condition     = alltrue([for cluster in var.clusters : can(regex("^([0-9]{12}|[A-Za-z][A-Za-z0-9-]*)$", cluster.account_id))])
    error_message = "An AWS account_id has 12 digits; write it in quotes, so that leading zeros stay. Elsewhere: the project or subscription, or unknown."
  }
}

variable "pipeline_role_arn" {
  description = "Role that the pipeline runs as (output of cluster-account/); it may assume the export roles."
  type        = string
}

variable "external_id" {
  description = "What the pipeline must present with the export roles; export.identity.external_id in the settings."
  type        = string

  validation {
    condition     = length(var.external_id) >= 16
    error_message = "Make it 16 characters at least, and nobody else's."
  }
}

variable "labels" {
  description = "Kubernetes labels that are columns of the drop-in table; the same as in the settings."
  type        = list(string)
  default     = []
}

variable "annotations" {
  description = "Kubernetes annotations that are columns of the drop-in table; the same as in the settings."
  type        = list(string)
  default     = []
}

variable "projection" {
  description = "Let Athena compute the partitions, so that none is registered; export.glue.projection in the settings."
  type        = bool
  default     = true
}

variable "database" {
  description = "Database of the Glue catalog."
  type        = string
  default     = "kubecost_db"
}

variable "bytes_scanned_cutoff" {
  description = "Bytes that one Athena query may scan; it is cancelled beyond."
  type        = number
  default     = 100000000000 # 0.50 USD at 5 USD a terabyte

  validation {
    condition     = var.bytes_scanned_cutoff >= 10485760
    error_message = "Athena accepts 10 MiB (10485760) at least."
  }
}

variable "expire_exports_after_days" {
  description = "Days after which exported Parquet is deleted; null keeps it."
  type        = number
  default     = null
}

variable "manage_lifecycle" {
  description = "Whether this module sets the bucket's lifecycle; false where a central policy does."
  type        = bool
  default     = true
}
