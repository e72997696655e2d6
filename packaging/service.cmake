# pcs_install_service(PROGRAM CONFIG): the program's unit, and examples/config/CONFIG as its
# configuration, which an installation never overwrites. Both builds (root and receiver/) use it.
#
# Paths are settled when installing, because only then the prefix is known (cmake --install --prefix).
include_guard(GLOBAL)

function(pcs_install_service program config)
  set(packaging "${CMAKE_CURRENT_FUNCTION_LIST_DIR}")
  install(CODE "
    set(PROGRAM ${program})
    set(CONFIG \"${packaging}/../examples/config/${config}\")
    set(PACKAGING \"${packaging}\")
    set(BUILD \"${CMAKE_CURRENT_BINARY_DIR}\")
    set(BIN \"${CMAKE_INSTALL_BINDIR}\")
    set(SYSCONF \"${CMAKE_INSTALL_SYSCONFDIR}\")
    include(\"${packaging}/install-service.cmake\")")
endfunction()
