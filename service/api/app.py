"""The REST service, which `create_app` puts together."""
