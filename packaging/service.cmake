# pcs_install_service(PROGRAM CONFIG): the program's unit, and examples/config/CONFIG as its
# configuration, which an installation never overwrites. Both builds (root and receiver/) use it.
#
# Paths are settled when installing, because only then the prefix is known (cmake --install --prefix).
include_guard(GLOBAL)
get_filename_component(PCS_PACKAGING "${CMAKE_CURRENT_LIST_DIR}" ABSOLUTE)

function(pcs_install_service program config)
  install(CODE "
    set(PROGRAM ${program})
    set(CONFIG \"${PCS_PACKAGING}/../examples/config/${config}\")
    set(PACKAGING \"${PCS_PACKAGING}\")
    set(BUILD \"${CMAKE_CURRENT_BINARY_DIR}\")
    set(BIN \"${CMAKE_INSTALL_BINDIR}\")
    set(SYSCONF \"${CMAKE_INSTALL_SYSCONFDIR}\")
    include(\"${PCS_PACKAGING}/install-service.cmake\")")
endfunction()
