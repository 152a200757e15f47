/* cnn.random: tensors of random numbers, and the seed. Each function takes `seed` for numbers of its own that
 * depend on nothing else; without it they come from the default generator. */
#include "lua_cnn.h"

#include <math.h>

/* The generator that the seed at index asks for; NULL, the default one, if it is nil. */
static cnn_random *choose(lua_State *L, int index, const char *who, cnn_random *own) {
    if (lua_isnoneornil(L, index)) return NULL;
    int whole = 0;
    lua_Integer seed = lua_type(L, index) == LUA_TNUMBER ? lua_tointegerx(L, index, &whole) : 0;
    if (!whole) lcnn_fail(L, "%s: 'seed' must be an integer, got %s", who, luaL_tolstring(L, index, NULL));
    *own = (cnn_random){.key = (uint64_t)seed};
    return own;
}

/* A finite number at index, or fallback if it is nil. */
static double number(lua_State *L, int index, const char *who, const char *name, double fallback) {
    if (lua_isnil(L, index)) return fallback;
    double value = lua_tonumber(L, index);
    if (lua_type(L, index) != LUA_TNUMBER || !isfinite(value))
        lcnn_fail(L, "%s: '%s' must be a finite number, got %s", who, name, luaL_tolstring(L, index, NULL));
    return value;
}

static cnn_tensor *push_new(lua_State *L, cnn_dtype dtype, const char *who) {
    int64_t shape[CNN_MAX_RANK];
    int rank = lcnn_check_shape(L, 1, who, shape);
    cnn_tensor *out = NULL;
    lcnn_check(L, cnn_tensor_new(&out, dtype, rank, shape));
    lcnn_push_tensor(L, out);
    return out;
}

/*** uniform(shape, minval = 0, maxval = 1, seed): float32 in [minval, maxval).
@function random.uniform */
static int uniform(lua_State *L) {
    static const char *const names[] = {"*shape", "minval", "maxval", "seed", NULL};
    lcnn_args(L, 1, "uniform", names);
    cnn_random own, *random = choose(L, 4, "uniform", &own);
    double low = number(L, 2, "uniform", "minval", 0), high = number(L, 3, "uniform", "maxval", 1);
    if (low > high) lcnn_fail(L, "uniform: 'minval' must not be above 'maxval', got %f and %f", low, high);
    cnn_tensor *out = push_new(L, CNN_FLOAT32, "uniform");
    cnn_random_uniform(random, cnn_f32(out), out->size, (float)low, (float)high);
    return 1;
}

typedef void fill_normal(cnn_random *random, float *out, int64_t count, float mean, float stddev);

static int normal_of(lua_State *L, const char *who, fill_normal *fill) {
    static const char *const names[] = {"*shape", "mean", "stddev", "seed", NULL};
    lcnn_args(L, 1, who, names);
    cnn_random own, *random = choose(L, 4, who, &own);
    double mean = number(L, 2, who, "mean", 0), stddev = number(L, 3, who, "stddev", 1);
    if (stddev < 0) lcnn_fail(L, "%s: 'stddev' must not be negative, got %f", who, stddev);
    cnn_tensor *out = push_new(L, CNN_FLOAT32, who);
    fill(random, cnn_f32(out), out->size, (float)mean, (float)stddev);
    return 1;
}

/*** normal(shape, mean = 0, stddev = 1, seed).
@function random.normal */
static int normal(lua_State *L) {
    return normal_of(L, "normal", cnn_random_normal);
}

/*** truncated_normal(shape, mean = 0, stddev = 1, seed): redrawn beyond two standard deviations.
@function random.truncated_normal */
static int truncated_normal(lua_State *L) {
    return normal_of(L, "truncated_normal", cnn_random_truncated_normal);
}

/*** randint(shape, minval, maxval, seed): int32 in [minval, maxval).
@function random.randint */
static int randint(lua_State *L) {
    static const char *const names[] = {"*shape", "minval", "maxval", "seed", NULL};
    lcnn_args(L, 1, "randint", names);
    cnn_random own, *random = choose(L, 4, "randint", &own);
    if (lua_isnil(L, 2) || lua_isnil(L, 3)) lcnn_fail(L, "randint: 'minval' and 'maxval' are required");
    double low = number(L, 2, "randint", "minval", 0), high = number(L, 3, "randint", "maxval", 0);
    if (low != floor(low) || high != floor(high) || low < INT32_MIN || high > INT32_MAX || low >= high)
        lcnn_fail(L,
                  "randint: 'minval' and 'maxval' must be integers of 32 bits, the first below the second, "
                  "got %f and %f",
                  low, high);
    cnn_tensor *out = push_new(L, CNN_INT32, "randint");
    cnn_random_integers(random, cnn_i32(out), out->size, (int32_t)low, (int32_t)high);
    return 1;
}

/*** bernoulli(shape, p = 0.5, seed): uint8, 1 with probability p.
@function random.bernoulli */
static int bernoulli(lua_State *L) {
    static const char *const names[] = {"*shape", "p", "seed", NULL};
    lcnn_args(L, 1, "bernoulli", names);
    cnn_random own, *random = choose(L, 3, "bernoulli", &own);
    double p = number(L, 2, "bernoulli", "p", 0.5);
    if (p < 0 || p > 1) lcnn_fail(L, "bernoulli: 'p' must be between 0 and 1, got %f", p);
    cnn_tensor *out = push_new(L, CNN_UINT8, "bernoulli");
    cnn_random_bernoulli(random, cnn_u8(out), out->size, (float)p);
    return 1;
}

/*** permutation(n, seed): the positions 1 … n in random order; permutation(t, seed): t with its rows so.
@function random.permutation */
static int permutation(lua_State *L) {
    static const char *const names[] = {"x", "seed", NULL};
    lcnn_args(L, 1, "permutation", names);
    cnn_random own, *random = choose(L, 2, "permutation", &own);
    cnn_tensor *rows = lcnn_test_tensor(L, 1), *order = NULL, *out = NULL;
    int whole = 0;
    int64_t count = lua_type(L, 1) == LUA_TNUMBER ? lua_tointegerx(L, 1, &whole) : 0;
    if (rows && rows->data && rows->rank > 0) count = rows->shape[0], whole = 1;
    if (!whole || count < 0 || count > INT32_MAX)
        lcnn_fail(L, "permutation: expected a whole number or a tensor of rank 1 or more, got %s",
                  luaL_tolstring(L, 1, NULL));
    lcnn_check(L, cnn_tensor_new(&order, CNN_INT32, 1, &count));
    cnn_random_permutation(random, cnn_i32(order), (int32_t)count);
    cnn_status status =
        rows ? cnn_gather(&out, rows, order, 0) : cnn_binary_number(&out, CNN_ADD, order, 1, false);
    cnn_tensor_release(order);
    lcnn_check(L, status);
    lcnn_push_tensor(L, out);
    return 1;
}

/*** cnn.set_seed(n), cnn.utils.set_random_seed(n): from here on every random number follows from n.
@function set_seed */
static int set_seed(lua_State *L) {
    cnn_set_seed((uint64_t)luaL_checkinteger(L, 1));
    return 0;
}

static const luaL_Reg functions[] = {
    {"uniform", uniform},
    {"normal", normal},
    {"truncated_normal", truncated_normal},
    {"randint", randint},
    {"integers", randint},
    {"bernoulli", bernoulli},
    {"permutation", permutation},
    {"shuffle", permutation},
    {"set_seed", set_seed},
    {NULL, NULL},
};

int lcnn_open_random(lua_State *L) {
    luaL_newlib(L, functions);
    lua_setfield(L, 1, "random");
    lua_pushcfunction(L, set_seed);
    lua_setfield(L, 1, "set_seed");
    luaL_getsubtable(L, 1, "utils");
    lua_pushcfunction(L, set_seed);
    lua_setfield(L, -2, "set_random_seed");
    return 0;
}
