"""Prints what every installed Python package says of its licence, with the text it ships."""

from importlib import metadata

found = sorted(metadata.distributions(), key=lambda d: d.metadata["Name"].lower())
print("Licences of the Python packages in this image, as each states them.\n")
for package in found:
    about = package.metadata
    stated = about.get("License-Expression") or about.get("License") or ""
    classes = [c for c in about.get_all("Classifier") or [] if c.startswith("License ::")]
    words = stated.splitlines()[0] if stated else "; ".join(c.split(" :: ")[-1] for c in classes)
    print(f"{about['Name']} {package.version}: {words or 'not stated'}")
    for file in package.files or []:
        if file.name.upper().startswith(("LICENSE", "LICENCE", "COPYING")):
            print(f"    text: {package.locate_file(file)}")
