/* Generators of random numbers as objects: what functions in worker threads get, and cnn.random.generator makes. */
#include "lua_carry.h"
#include "base/random.h"

#include <math.h>

#define GENERATOR "generator"

typedef struct generator {
    cnn_random own;
    cnn_random *random; /* NULL: of one that is lent, between calls */
} generator;

/*** A generator of random numbers: made by cnn.random.generator, or given to functions of datasets and cnn.augment
for the time of a call.
@field rng
@usage
rng = cnn.random.generator(1)
rng:integer(5, 5)      --> 5
*/

/* ---- on the stack -------------------------------------------------------------------------------------- */

cnn_random *lcnn_push_rng(lua_State *L, cnn_random random) {
    generator *g = lua_newuserdatauv(L, sizeof *g, 0);
    *g = (generator){.own = random};
    g->random = &g->own;
    luaL_setmetatable(L, GENERATOR);
    return g->random;
}

cnn_random *lcnn_test_rng(lua_State *L, int index) {
    const generator *g = luaL_testudata(L, index, GENERATOR);
    if (g && !g->random) lcnn_fail(L, "rng: it is good only in the call that it was given to");
    return g ? g->random : NULL;
}

cnn_random **lcnn_push_lent_rng(lua_State *L) {
    lcnn_push_rng(L, (cnn_random){0});
    generator *g = lua_touserdata(L, -1);
    g->random = NULL;
    return &g->random;
}

static cnn_random *check_rng(lua_State *L, int arg) {
    cnn_random *random = lcnn_test_rng(L, arg);
    if (!random) luaL_typeerror(L, arg, GENERATOR);
    return random;
}

/* ---- numbers ------------------------------------------------------------------------------------------- */

static double number(lua_State *L, int arg, const char *who, const char *name, double fallback) {
    if (lua_isnoneornil(L, arg)) return fallback;
    double value = lcnn_check_number(L, arg, who, name);
    if (!isfinite(value)) lcnn_fail(L, "%s: '%s' must be a finite number, got %f", who, name, value);
    return value;
}

/* In [0, 1), all 53 bits. */
static double unit(cnn_random *random) {
    return (double)(cnn_random_bits(random) >> 11) * 0x1p-53;
}

/*** A number from low up to, without, high.
@function rng:uniform
@tparam[opt=0] number low
@tparam[opt=1] number high
@treturn number
@usage
rng = cnn.random.generator(42)
x = rng:uniform(-1, 1)
x >= -1 and x < 1      --> true
*/
static int uniform(lua_State *L) {
    cnn_random *random = check_rng(L, 1);
    double low = number(L, 2, "rng:uniform", "low", 0), high = number(L, 3, "rng:uniform", "high", 1);
    if (low > high) lcnn_fail(L, "rng:uniform: 'low' must not be above 'high', got %f and %f", low, high);
    double value = low + (high - low) * unit(random);
    lua_pushnumber(L, value < high ? value : low); /* rounding may reach high */
    return 1;
}

/*** A normally distributed number.
@function rng:normal
@tparam[opt=0] number mean
@tparam[opt=1] number stddev the standard deviation, not negative
@treturn number
@usage
rng = cnn.random.generator(42)
rng:normal(10, 0)      --> 10.0
*/
static int normal(lua_State *L) {
    cnn_random *random = check_rng(L, 1);
    double mean = number(L, 2, "rng:normal", "mean", 0), stddev = number(L, 3, "rng:normal", "stddev", 1);
    if (stddev < 0) lcnn_fail(L, "rng:normal: 'stddev' must not be negative, got %f", stddev);
    float value;
    cnn_random_normal(random, &value, 1, 0, 1);
    lua_pushnumber(L, mean + stddev * (double)value);
    return 1;
}

/*** A whole number from low to high, both included.
@function rng:integer
@tparam int low
@tparam int high
@treturn int
@raise low above high
@usage
rng = cnn.random.generator(42)
dice = rng:integer(1, 6)
dice >= 1 and dice <= 6            --> true
rng:integer(6, 1)      --> error: rng:integer: 'low' must not be above 'high', got 6 and 1
*/
static int whole(lua_State *L) {
    lua_settop(L, 3);
    cnn_random *random = check_rng(L, 1);
    lua_Integer low = lcnn_check_integer(L, 2, "rng:integer", "low");
    lua_Integer high = lcnn_check_integer(L, 3, "rng:integer", "high");
    if (low > high)
        lcnn_fail(L, "rng:integer: 'low' must not be above 'high', got %I and %I", (LUAI_UACINT)low,
                  (LUAI_UACINT)high);
    lua_Unsigned count = (lua_Unsigned)high - (lua_Unsigned)low + 1; /* 0: all that there are */
    lua_Unsigned bits = cnn_random_bits(random);
    if (count > 0) {
        lua_Unsigned uneven = (0 - count) % count; /* as many would make some numbers likelier */
        while (bits < uneven) bits = cnn_random_bits(random);
        bits %= count;
    }
    lua_pushinteger(L, (lua_Integer)((lua_Unsigned)low + bits));
    return 1;
}

/*** True with probability p.
@function rng:bernoulli
@tparam[opt=0.5] number p from 0 to 1
@treturn bool
@usage
rng = cnn.random.generator(42)
rng:bernoulli(1), rng:bernoulli(0)
--> true
--> false
*/
static int bernoulli(lua_State *L) {
    cnn_random *random = check_rng(L, 1);
    double p = number(L, 2, "rng:bernoulli", "p", 0.5);
    if (p < 0 || p > 1) lcnn_fail(L, "rng:bernoulli: 'p' must be between 0 and 1, got %f", p);
    lua_pushboolean(L, unit(random) < p);
    return 1;
}

static const luaL_Reg methods[] = {
    {"uniform", uniform}, {"normal", normal}, {"integer", whole}, {"bernoulli", bernoulli}, {NULL, NULL}};

/*** A generator of random numbers, an rng: as functions in a dataset's map and in cnn.augment are given one. Its
methods rng:uniform, rng:normal, rng:integer and rng:bernoulli draw single numbers. What is drawn depends on its seed
alone.
@function cnn.random.generator
@tparam[opt] int seed default: from the default generator, so that cnn.set_seed decides
@treturn rng
@usage
a, b = cnn.random.generator(42), cnn.random.generator(42)
a:uniform() == b:uniform()         --> true
a:integer(1, 6) == b:integer(1, 6) --> true
*/
static int new_generator(lua_State *L) {
    lcnn_args(L, 1, "generator", (const char *const[]){"seed", NULL});
    if (lua_isnil(L, 1)) {
        lcnn_push_rng(L, cnn_random_split(NULL));
        return 1;
    }
    lcnn_push_rng(L, (cnn_random){.key = (uint64_t)lcnn_check_integer(L, 1, "generator", "seed")});
    return 1;
}

int lcnn_open_generator(lua_State *L) {
    luaL_newmetatable(L, GENERATOR);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    luaL_getsubtable(L, 1, "random");
    lua_pushcfunction(L, new_generator);
    lua_setfield(L, -2, "generator");
    return 0;
}
