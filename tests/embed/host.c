/* A program in C with Lua inside, which has the module cnn: it gives a picture that lies in its memory to a script, and
 * gets the answer back as numbers.
 *     cc host.c -o host $(pkg-config --cflags --libs lua5.4)
 *     ./host classify.lua strokes.keras
 * The model is one that train.c saved. `require` finds the module where the system's Lua does; LUA_CPATH, or
 * package.cpath, names other places. A host that links Lua statically must offer the module Lua's functions: -rdynamic.
 *
 * Lua reports errors by long jumps to the nearest lua_pcall. There is one here, in main, and under it nothing holds
 * memory that Lua does not know of. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include <stdio.h>
#include <stdlib.h>

enum { SIZE = 28, LENGTH = 6 };

/* A stroke from the upper left to the lower right: class 2 of train.c. */
static void draw(unsigned char image[SIZE][SIZE]) {
    for (int t = -LENGTH; t < LENGTH; t++) image[SIZE / 2 + t][SIZE / 2 + t] = 255;
}

/* Runs the script, which returns a function, and calls that. All that may raise an error. */
static int host(lua_State *L) {
    char **argv = lua_touserdata(L, 1);
    unsigned char image[SIZE][SIZE] = {{0}};
    draw(image);
    luaL_openlibs(L);
    if (luaL_loadfile(L, argv[1]) != LUA_OK) return lua_error(L);
    lua_pushstring(L, argv[2]);
    lua_call(L, 1, 1);
    lua_pushlstring(L, (const char *)image, sizeof image);
    lua_pushinteger(L, SIZE);
    lua_pushinteger(L, SIZE);
    lua_call(L, 3, 2);
    printf("class %d with probability %.3f\n", (int)luaL_checkinteger(L, -2), luaL_checknumber(L, -1));
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: host SCRIPT MODEL\n");
        return EXIT_FAILURE;
    }
    lua_State *L = luaL_newstate();
    if (!L) {
        fprintf(stderr, "host: out of memory\n");
        return EXIT_FAILURE;
    }
    lua_pushcfunction(L, host);
    lua_pushlightuserdata(L, argv);
    int status = lua_pcall(L, 1, 0, 0);
    if (status != LUA_OK) fprintf(stderr, "host: %s\n", luaL_tolstring(L, -1, NULL));
    lua_close(L); /* the model and all tensors go with it */
    return status == LUA_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
