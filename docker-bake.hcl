# `docker buildx bake` builds every image, `docker buildx bake orders` one. The variables come from the environment.

variable "IMAGE_PREFIX" { # prefix of the image names: a registry and a folder, or only a folder
  default = "hopline/"
}
variable "VERSION" {
  default = "dev"
}
variable "TAG" { # tag of the images; the version is also a label
  default = VERSION
}
variable "REVISION" { # the commit
  default = "unknown"
}
variable "REPOSITORY" { # URL of the source, to which a registry links the image
  default = "https://example.invalid/hopline"
}
variable "PYTHON_IMAGE" { # base image of both stages
  default = "python:3.13-slim-trixie"
}

group "default" {
  targets = ["service", "workers"]
}

# Migrations run from the image of their service, with the command `alembic upgrade head`.
target "process" {
  context    = "."
  dockerfile = "infra/docker/Dockerfile"
  args = {
    PYTHON_IMAGE = PYTHON_IMAGE
    VERSION      = VERSION
    REVISION     = REVISION
    REPOSITORY   = REPOSITORY
  }
}

target "service" {
  inherits = ["process"]
  matrix   = { package = ["gateway", "users", "orders", "notifications"] }
  name     = package
  args     = { PACKAGE = package }
  tags     = ["${IMAGE_PREFIX}${package}:${TAG}"]
}

target "workers" {
  inherits = ["process"]
  args = {
    PACKAGE = "workers"
    SOURCE  = "workers"
    START   = "arq workers.main.WorkerSettings"
    PROBE   = "hopline:jobs:health-check"
  }
  tags = ["${IMAGE_PREFIX}workers:${TAG}"]
}
