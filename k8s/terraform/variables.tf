variable "name" {
  description = "Of the cluster, and the beginning of the buckets' names, which are taken world-wide."
  type        = string
  default     = "telestream"
}

variable "region" {
  description = "AWS region; where personal data may lie decides it."
  type        = string
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes."
  type        = string
  default     = "1.34"
}

variable "instance_types" {
  description = "Of the nodes; the database asks for 8 GiB and two cores."
  type        = list(string)
  default     = ["m7i.2xlarge"]
}
