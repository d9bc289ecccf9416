# A cluster on AWS for k8s/overlays/prod: network, EKS, buckets, and the role that pods reach the buckets with.
terraform {
  required_version = ">= 1.10"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

provider "aws" {
  region = var.region
  default_tags { tags = { project = var.name } }
}

data "aws_availability_zones" "available" {
  state = "available"
}

locals {
  zones = slice(data.aws_availability_zones.available.names, 0, 3)
}

module "vpc" {
  source  = "terraform-aws-modules/vpc/aws"
  version = "~> 6.0"

  name               = var.name
  cidr               = "10.0.0.0/16"
  azs                = local.zones
  private_subnets    = [for index, zone in local.zones : cidrsubnet("10.0.0.0/16", 4, index)]
  public_subnets     = [for index, zone in local.zones : cidrsubnet("10.0.0.0/16", 8, index + 100)]
  enable_nat_gateway = true
  single_nat_gateway = false
}

module "cluster" {
  source  = "terraform-aws-modules/eks/aws"
  version = "~> 21.0"

  name                   = var.name
  kubernetes_version     = var.kubernetes_version
  vpc_id                 = module.vpc.vpc_id
  subnet_ids             = module.vpc.private_subnets
  endpoint_public_access = false

  addons = {
    coredns            = {}
    kube-proxy         = {}
    vpc-cni            = { before_compute = true }
    aws-ebs-csi-driver = {}
  }

  eks_managed_node_groups = {
    nodes = {
      instance_types = var.instance_types
      min_size       = 3
      desired_size   = 3
      max_size       = 9
    }
  }
}

resource "aws_s3_bucket" "data" {
  for_each = toset(["backups", "archive", "cdr"])
  bucket   = "${var.name}-${each.key}"
}

resource "aws_s3_bucket_public_access_block" "data" {
  for_each                = aws_s3_bucket.data
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "data" {
  for_each = aws_s3_bucket.data
  bucket   = each.value.id
  rule {
    apply_server_side_encryption_by_default { sse_algorithm = "aws:kms" }
  }
}

resource "aws_s3_bucket_versioning" "backups" {
  bucket = aws_s3_bucket.data["backups"].id
  versioning_configuration { status = "Enabled" }
}

# An erased person must not come back out of an old version: those are gone after a month, as the backups are.
resource "aws_s3_bucket_lifecycle_configuration" "backups" {
  bucket = aws_s3_bucket.data["backups"].id
  rule {
    id     = "expire-old-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration { noncurrent_days = 30 }
  }
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [module.cluster.oidc_provider_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${module.cluster.oidc_provider}:sub"
      values   = [for account in ["object-store", "database", "database-recovered"] : "system:serviceaccount:telestream:${account}"]
    }
    condition {
      test     = "StringEquals"
      variable = "${module.cluster.oidc_provider}:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "buckets" {
  statement {
    actions   = ["s3:ListBucket"]
    resources = [for bucket in aws_s3_bucket.data : bucket.arn]
  }
  statement {
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = [for bucket in aws_s3_bucket.data : "${bucket.arn}/*"]
  }
}

resource "aws_iam_role" "object_store" {
  name               = "${var.name}-object-store"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "object_store" {
  name   = "buckets"
  role   = aws_iam_role.object_store.id
  policy = data.aws_iam_policy_document.buckets.json
}
