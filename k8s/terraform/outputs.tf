output "object_store_role" {
  description = "For the annotations in k8s/overlays/prod."
  value       = aws_iam_role.object_store.arn
}

output "buckets" {
  description = "Names of the buckets."
  value       = { for purpose, bucket in aws_s3_bucket.data : purpose => bucket.id }
}
