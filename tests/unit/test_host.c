/* SPDX-License-Identifier: MIT */
/* The host's health, read from trees like those that machines have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "app/host.h"
#include "pcs/clock.h"

struct tree {
    char root[40];
};

static int setup(void **state)
{
    struct tree *t = calloc(1, sizeof *t);
    strcpy(t->root, "/tmp/pcs-host-XXXXXX");
    *state = t;
    return mkdtemp(t->root) ? 0 : -1;
}

static int teardown(void **state)
{
    struct tree *t = *state;
    char command[80];
    (void)snprintf(command, sizeof command, "rm -r %s", t->root);
    int code = system(command);
    free(t);
    return code;
}

static void put(const struct tree *t, const char *name, const char *text)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%s%s", t->root, name);
    for (char *p = path + strlen(t->root) + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        (void)mkdir(path, 0700); /* it may be there */
        *p = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void near(double a, double b)
{
    assert_true(a > b - 1e-9 && a < b + 1e-9);
}

static void a_raspberry_pi(void **state)
{
    const struct tree *t = *state;
    struct host_health h;
    put(t, "/proc/stat", "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2\n");
    put(t, "/proc/loadavg", "0.25 0.10 0.05 1/100 1234\n");
    put(t, "/proc/uptime", "1000.50 3000.00\n");
    put(t, "/proc/meminfo", "MemTotal:        1000 kB\nMemFree: 1 kB\nMemAvailable:     600 kB\n");
    put(t, "/proc/self/status", "Name:\tx\nVmRSS:\t     123 kB\nThreads:\t7\n");
    put(t, "/sys/class/thermal/thermal_zone0/temp", "48312\n");
    put(t, "/sys/class/thermal/thermal_zone1/temp", "51000\n");
    put(t, "/sys/class/thermal/cooling_device0/temp", "99000\n");
    put(t, "/sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n");
    struct host *host = host_new(t->root);
    put(t, "/proc/stat", "cpu  150 0 100 720 130 0 0 0 0 0\n");
    host_get(host, CLOCK_S, &h);
    near(h.cpu_load, 0.5); /* 100 more, 50 of them idle or waiting */
    near(h.load_average, 0.25);
    near(h.uptime_s, 1000.5);
    assert_true(h.has_temperature);
    near(h.temperature_c, 51);
    assert_true(h.has_throttled);
    assert_int_equal(h.throttled & 0xf, HOST_UNDER_VOLTAGE | HOST_THROTTLED);
    assert_int_equal(h.throttled >> HOST_SINCE_START, HOST_UNDER_VOLTAGE | HOST_THROTTLED);
    assert_int_equal(h.memory_bytes, 1000 * 1024);
    assert_int_equal(h.memory_available_bytes, 600 * 1024);
    assert_int_equal(h.process_memory_bytes, 123 * 1024);
    assert_int_equal(h.process_threads, 7);
    assert_true(h.disk_bytes >= h.disk_available_bytes && h.disk_bytes > 0);
    assert_true(h.process_cpu_s > 0 && h.cpus > 0);

    put(t, "/sys/class/thermal/thermal_zone1/temp", "40000\n"); /* now zone 0 is the hottest */
    host_get(host, CLOCK_S + CLOCK_S / 2, &h);
    near(h.temperature_c, 51); /* not asked again yet */
    host_get(host, 2 * CLOCK_S, &h);
    near(h.temperature_c, 48.312);
    near(h.cpu_load, 0.5); /* no tick has passed: as it was */
    host_free(host);
}

static void a_kernel_with_rpi_volt_only(void **state)
{
    const struct tree *t = *state;
    struct host_health h;
    put(t, "/sys/class/hwmon/hwmon0/name", "cpu_thermal\n");
    put(t, "/sys/class/hwmon/hwmon1/name", "rpi_volt\n");
    put(t, "/sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
    struct host *host = host_new(t->root);
    host_get(host, CLOCK_S, &h);
    assert_true(h.has_throttled);
    assert_int_equal(h.throttled, HOST_UNDER_VOLTAGE);
    host_free(host);
}

static void a_machine_that_tells_nothing(void **state)
{
    const struct tree *t = *state;
    struct host_health h;
    put(t, "/sys/class/thermal/thermal_zone0/temp", "");
    put(t, "/sys/devices/platform/soc/soc:firmware/get_throttled", "unknown\n");
    put(t, "/proc/stat", "nonsense");
    struct host *host = host_new(t->root);
    host_get(host, CLOCK_S, &h);
    assert_false(h.has_temperature || h.has_throttled);
    assert_int_equal(h.memory_bytes, 0);
    near(h.cpu_load, 0);
    host_free(host);
    host_free(NULL);
}

static void this_machine(void **state)
{
    struct host *host = host_new("");
    struct host_health h;
    (void)state;
    host_get(host, clock_now_us(), &h);
    assert_true(h.cpu_load >= 0 && h.cpu_load <= 1);
    assert_true(h.memory_bytes > h.memory_available_bytes && h.memory_available_bytes > 0);
    assert_true(h.process_memory_bytes > 0 && h.process_fds >= 3 && h.process_threads >= 1);
    assert_true(h.uptime_s > 0);
    host_free(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_raspberry_pi, setup, teardown),
        cmocka_unit_test_setup_teardown(a_kernel_with_rpi_volt_only, setup, teardown),
        cmocka_unit_test_setup_teardown(a_machine_that_tells_nothing, setup, teardown),
        cmocka_unit_test(this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
