output "pipeline_role_arn" {
  value = aws_iam_role.pipeline.arn
}
