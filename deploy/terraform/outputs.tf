output "bucket" {
  value = aws_s3_bucket.costs.id
}

output "workgroup" {
  value = aws_athena_workgroup.costs.name
}

output "export_role_arns" {
  description = "By name, the roles that export: export.identity.role_arns in the settings."
  value       = { for name, role in aws_iam_role.export : name => role.arn }
}
