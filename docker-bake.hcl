# `docker buildx bake` builds every image, `docker buildx bake orders` one. The variables come from the environment.

variable "IMAGE_PREFIX" { # what stands before the name: a registry and a folder in it, or only a folder
  default = "hopline/"
}
variable "VERSION" {
  default = "dev"
}
variable "TAG" { # of the images; the version is also a label in them
  default = VERSION
}
variable "REVISION" { # the commit
  default = "unknown"
}
variable "REPOSITORY" { # where the source is; a registry links the image to it
  default = "https://example.invalid/hopline"
}
variable "PYTHON_IMAGE" { # one slim base for both stages
  default = "python:3.13-slim-trixie"
}

group "default" {
  targets = ["service", "workers"]
}

# Migrations have no image of their own: they run from their service's, as `alembic upgrade head`.
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
