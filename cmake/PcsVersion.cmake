# The one place that knows the version; both projects and both programs take it from here.
set(PCS_VERSION 0.1.0)
add_compile_definitions(PCS_VERSION="${PCS_VERSION}")
