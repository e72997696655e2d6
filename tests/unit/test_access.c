/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pcs/option.h"
#include "web/access.h"
#include "web/token.h"

static const char *items[] = { "https://good.example/", "http://other.example:8000" };
static const struct option_list allowed = { items, 2 }, nobody = { NULL, 0 };

static void test_token_comes_in_three_ways(void **state)
{
    (void)state;
    assert_true(access_granted("secret", "secret", NULL));
    assert_true(access_granted("secret", NULL, "Bearer secret"));
    assert_true(access_granted("secret", NULL, "bearer  secret"));
    assert_true(access_granted("secret", NULL, "Basic dXNlcjpzZWNyZXQ=")); /* user:secret */
    assert_true(access_granted("secret", NULL, "Basic OnNlY3JldA=="));     /* :secret */
    assert_true(access_granted("secret", "wrong", "Bearer secret"));
}

static void test_everything_else_is_wrong(void **state)
{
    char much[2000];
    (void)state;
    memset(much, 'A', sizeof much - 1);
    much[sizeof much - 1] = '\0';
    memcpy(much, "Basic ", 6);
    assert_false(access_granted("secret", NULL, NULL));
    assert_false(access_granted("secret", "", ""));
    assert_false(access_granted("secret", "secre", NULL));
    assert_false(access_granted("secret", "secrett", NULL));
    assert_false(access_granted("secret", "Secret", NULL));
    assert_false(access_granted("secret", NULL, "secret"));
    assert_false(access_granted("secret", NULL, "Bearersecret"));
    assert_false(access_granted("secret", NULL, "Basic secret"));
    assert_false(access_granted("secret", NULL, "Basic c2VjcmV0")); /* without a colon */
    assert_false(access_granted("secret", NULL, "Basic ****"));
    assert_false(access_granted("secret", NULL, "Basic ="));
    assert_false(access_granted("secret", NULL, much));
}

static void test_own_pages_may(void **state)
{
    (void)state;
    assert_true(access_origin("http://pi:8080", "pi:8080", &nobody));
    assert_true(access_origin("http://PI", "pi", &nobody));
    assert_true(access_origin("http://pi", "pi:80", &nobody));
    assert_true(access_origin("https://pi:443", "pi", &nobody));
    assert_true(access_origin("http://[::1]:8080", "[::1]:8080", &nobody));
    assert_false(access_foreign("http://pi:8080", "pi:8080"));
}

static void test_pages_of_others_may_not(void **state)
{
    (void)state;
    assert_false(access_origin("http://evil.example", "pi:8080", &allowed));
    assert_false(access_origin("http://pi:8081", "pi:8080", &allowed));
    assert_false(access_origin("http://pi:8080.evil.example", "pi:8080", &allowed));
    assert_false(access_origin("http://pi:8080@evil.example", "pi:8080", &allowed));
    assert_false(access_origin("null", "pi:8080", &allowed));
    assert_false(access_origin("", "pi:8080", &allowed));
    assert_false(access_origin("file://", "pi:8080", &allowed));
    assert_false(access_origin("http://pi", NULL, &allowed));
    assert_true(access_foreign("null", "null"));
}

static void test_others_may_when_they_are_named(void **state)
{
    const char *all[] = { "*" };
    const struct option_list any = { all, 1 };
    (void)state;
    assert_true(access_origin("https://good.example", "pi", &allowed));
    assert_true(access_origin("http://other.example:8000", "pi", &allowed));
    assert_false(access_origin("http://good.example", "pi", &allowed));
    assert_false(access_origin("https://good.example.org", "pi", &allowed));
    assert_true(access_origin("null", "pi", &any));
}

static void test_names_that_can_be_ours(void **state)
{
    static const char *const good[] = {
        "localhost", "127.0.0.1:8080", "[::1]",      "[fe80::1]:80", "pi",          "pi.local:8080",
        "pi.local.", "cam.home.arpa",  "a.internal", "my.cam.org",   "good.example"
    };
    static const char *const bad[] = { "evil.example", "127.0.0.1.evil.example", "local", "",
                                       ":80",          "evil.localx.example" };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(access_host(good[i], "my.cam.org", &allowed));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(access_host(bad[i], "my.cam.org", &allowed), strcmp(bad[i], "local") == 0);
    }
}

/* ---- the made token ---- */

static void test_token_is_kept(void **state)
{
    char folder[] = "/tmp/pcs-token-XXXXXX", deep[60], file[80], first[TOKEN_SIZE],
         second[TOKEN_SIZE];
    struct err err = { 0 };
    struct stat st;
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(deep, sizeof deep, "%s/a/b", folder);
    (void)snprintf(file, sizeof file, "%s/token", deep);
    assert_int_equal(setenv("STATE_DIRECTORY", deep, 1), 0);
    assert_int_equal(token_load(first, &err), 0);
    assert_int_equal(token_load(second, &err), 0);
    assert_string_equal(first, second);
    assert_int_equal(strspn(first, "0123456789abcdef"), TOKEN_SIZE - 1);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    /* what is none is replaced */
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    assert_true(fputs("short", f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(token_load(second, &err), 0);
    assert_string_not_equal(first, second);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(deep), 0);
    *strrchr(deep, '/') = '\0';
    assert_int_equal(rmdir(deep), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void test_token_without_a_place_is_made_all_the_same(void **state)
{
    char token[TOKEN_SIZE];
    struct err err = { 0 };
    (void)state;
    assert_int_equal(setenv("STATE_DIRECTORY", "/proc/nowhere", 1), 0);
    assert_int_equal(token_load(token, &err), 1);
    assert_int_equal(strlen(token), TOKEN_SIZE - 1);
    assert_non_null(strstr(err.text, "/proc/nowhere"));
    assert_int_equal(unsetenv("STATE_DIRECTORY"), 0);
    assert_int_equal(unsetenv("XDG_STATE_HOME"), 0);
    assert_int_equal(unsetenv("HOME"), 0);
    assert_int_equal(token_load(token, &err), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token_comes_in_three_ways),
        cmocka_unit_test(test_everything_else_is_wrong),
        cmocka_unit_test(test_own_pages_may),
        cmocka_unit_test(test_pages_of_others_may_not),
        cmocka_unit_test(test_others_may_when_they_are_named),
        cmocka_unit_test(test_names_that_can_be_ours),
        cmocka_unit_test(test_token_is_kept),
        cmocka_unit_test(test_token_without_a_place_is_made_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
