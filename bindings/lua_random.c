/* cnn.random: tensors of random numbers, and the seed. Each function takes `seed` for numbers of its own that
 * depend on nothing else; without it they come from the default generator. */
#include "lua_cnn.h"

#include <math.h>

/* The generator that the seed at index asks for; NULL, the default one, if it is nil. */
static cnn_random *choose(lua_State *L, int index, const char *who, cnn_random *own) {
    if (lua_isnoneornil(L, index)) return NULL;
    *own = (cnn_random){.key = (uint64_t)lcnn_check_integer(L, index, who, "seed")};
    return own;
}

/* A finite number at index, or fallback if it is nil. */
static double number(lua_State *L, int index, const char *who, const char *name, double fallback) {
    if (lua_isnil(L, index)) return fallback;
    double value = lua_tonumber(L, index);
    if (lua_type(L, index) != LUA_TNUMBER || !isfinite(value))
        lcnn_fail(L, "%s: '%s' must be a finite number, got %s", who, name, lcnn_describe(L, index));
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

/*** Random numbers that are equally likely everywhere from minval to maxval. All functions of cnn.random draw from
the default generator, which cnn.set_seed seeds, or, where a seed is told, from one of their own: then the same seed
gives the same numbers in every call. The numbers never depend on the number of threads.
@function cnn.random.uniform
@tparam {int,...}|int shape
@tparam[opt=0] number minval the least
@tparam[opt=1] number maxval never drawn itself
@tparam[opt] int seed
@treturn tensor float32
@usage
cnn.random.uniform{3, seed = 1}
--> float32 (3,)
--> [0.89025915 0.8946847  0.5857259 ]
x = cnn.random.uniform{1000, minval = -1, maxval = 1}
x:min():item() >= -1 and x:max():item() < 1              --> true
*/
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

/*** Normally distributed random numbers.
@function cnn.random.normal
@tparam {int,...}|int shape
@tparam[opt=0] number mean
@tparam[opt=1] number stddev the standard deviation, not negative
@tparam[opt] int seed as of cnn.random.uniform
@treturn tensor float32
@usage
x = cnn.random.normal{10000, mean = 5, stddev = 2, seed = 1}
math.abs(x:mean():item() - 5) < 0.1, math.abs(x:std():item() - 2) < 0.1
--> true
--> true
cnn.random.normal({2, 3}):shape()  --> {2, 3}
*/
static int normal(lua_State *L) {
    return normal_of(L, "normal", cnn_random_normal);
}

/*** Normally distributed random numbers, drawn again where they are more than two standard deviations from the mean.
@function cnn.random.truncated_normal
@tparam {int,...}|int shape
@tparam[opt=0] number mean
@tparam[opt=1] number stddev of the distribution before it is cut
@tparam[opt] int seed as of cnn.random.uniform
@treturn tensor float32
@usage
x = cnn.random.truncated_normal{1000, stddev = 0.1, seed = 1}
x:abs():max():item() <= 0.2        --> true
*/
static int truncated_normal(lua_State *L) {
    return normal_of(L, "truncated_normal", cnn_random_truncated_normal);
}

/*** Random whole numbers from minval up to, without, maxval.
@function cnn.random.randint
@tparam {int,...}|int shape
@tparam int minval the least
@tparam int maxval one more than the greatest, as in Keras; rng:integer includes it
@tparam[opt] int seed as of cnn.random.uniform
@treturn tensor int32
@raise bounds that are not whole, or leave nothing between them
@usage
cnn.random.randint{5, minval = 0, maxval = 10, seed = 1}
--> int32 (5,)
--> [8 8 5 7 6]
dice = cnn.random.randint({100}, 1, 7)
dice:min():item() >= 1 and dice:max():item() <= 6        --> true
*/

/*** Random whole numbers, by NumPy's name: cnn.random.randint.
@function cnn.random.integers
@tparam {int,...}|int shape
@tparam int minval the least
@tparam int maxval one more than the greatest
@tparam[opt] int seed as of cnn.random.uniform
@treturn tensor int32
@usage
cnn.random.integers({3}, 0, 10, 1):tolist()              --> {8, 8, 5}
*/
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

/*** Random ones and zeros: 1 with probability p.
@function cnn.random.bernoulli
@tparam {int,...}|int shape
@tparam[opt=0.5] number p from 0 to 1
@tparam[opt] int seed as of cnn.random.uniform
@treturn tensor uint8
@usage
cnn.random.bernoulli{6, p = 1}
--> uint8 (6,)
--> [1 1 1 1 1 1]
heads = cnn.random.bernoulli{1000, p = 0.3, seed = 1}:mean():item()
math.abs(heads - 0.3) < 0.05       --> true
*/
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

/*** Positions in random order, or a tensor with its rows so.
@function cnn.random.permutation
@tparam int|tensor x of a number n, the positions 1 to n
@tparam[opt] int seed as of cnn.random.uniform
@treturn tensor int32 of n positions; or a copy of the tensor with its rows in another order
@usage
order = cnn.random.permutation(5, 1)
order
--> int32 (5,)
--> [1 3 2 4 5]
x, y = cnn.tensor{10, 20, 30, 40, 50}, cnn.arange(5)
x[order]:tolist()      --> {10.0, 30.0, 20.0, 40.0, 50.0}
y[order]:tolist()      -- in the same order
--> {0, 2, 1, 3, 4}
*/

/*** Rows or positions in random order: cnn.random.permutation. A tensor is copied, not shuffled where it is.
@function cnn.random.shuffle
@tparam int|tensor x
@tparam[opt] int seed as of cnn.random.uniform
@treturn tensor
@usage
t = cnn.arange(100)
u = cnn.random.shuffle(t)
u:sum():item() == t:sum():item()   --> true
*/
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
                  lcnn_describe(L, 1));
    lcnn_check(L, cnn_tensor_new(&order, CNN_INT32, 1, &count));
    cnn_random_permutation(random, cnn_i32(order), (int32_t)count);
    cnn_status status =
        rows ? cnn_gather(&out, rows, order, 0) : cnn_binary_number(&out, CNN_ADD, order, 1, false);
    cnn_tensor_release(order);
    lcnn_check(L, status);
    lcnn_push_tensor(L, out);
    return 1;
}

/*** From here on all random numbers of cnn follow from this one: initial weights, the order of samples, dropout,
augmentation. Without it each run has other ones. Lua's own math.random is not seeded (math.randomseed).
@function cnn.set_seed
@tparam int seed
@usage
cnn.set_seed(7)
a = cnn.random.uniform{2}
cnn.set_seed(7)
cnn.allclose(a, cnn.random.uniform{2})                   --> true
*/

/*** From here on all random numbers follow from this one, by Keras's name: cnn.set_seed.
@function cnn.utils.set_random_seed
@tparam int seed
@usage
cnn.utils.set_random_seed(7)
*/

/*** From here on all random numbers follow from this one: cnn.set_seed.
@function cnn.random.set_seed
@tparam int seed
@usage
cnn.random.set_seed(7)
*/
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
